/**
 * `npm run bench` measures every row, `npm run bench -- tiny lone` these. Prints a table for each, keeps the latest
 * figures and plots in `bench/results`, and writes `docs/performance.md` anew.
 */
import { writeFileSync } from 'node:fs'
import { inChild } from './kit/child.ts'
import type { Findings } from './kit/findings.ts'
import { type Kept, keep } from './kit/keep.ts'
import { thisMachine } from './kit/machine.ts'
import { page } from './kit/page.ts'
import { findingsText } from './kit/table.ts'
import { rows } from './rows.ts'

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !(name in rows))
if (unknown.length > 0) {
  console.error(`There is no row ${unknown.join(', ')}. There are: ${Object.keys(rows).join(', ')}.`)
  process.exit(1)
}

const machine = thisMachine()
console.log(
  `${machine.processor}, ${machine.cores} cores, ${machine.memoryGb} GB, ${machine.system}, Node ${machine.node}`,
)
const began = performance.now()
for (const [name, { title }] of Object.entries(rows)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  try {
    const findings = await inChild<Findings>('run-row.ts', [name])
    console.log(findingsText(title, findings))
    keep({ name, title, machine, ...findings } satisfies Kept)
  } catch (error) {
    console.error(`\n${title}: ${error instanceof Error ? error.message : error}`)
    process.exitCode = 1
  }
}
writeFileSync(new URL('../docs/performance.md', import.meta.url), page(Object.keys(rows)))
console.log(
  `\n${Math.round((performance.now() - began) / 1000)} s. See docs/performance.md and bench/results.`,
)
