/** Measures one row in this process, named by the argument, and sends what it found. */
import { answer } from './kit/child.ts'
import type { Findings } from './kit/findings.ts'
import { rows } from './rows.ts'

const [name = ''] = process.argv.slice(2)
const row = rows[name]
if (row === undefined) throw new Error(`There is no row "${name}".`)
const { default: measure } = (await row.load()) as { default: () => Promise<Findings> }
answer(await measure())
