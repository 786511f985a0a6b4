/**
 * Runs an app with a witness beside it, which tells what becomes of every job: as messages to the test, and in a file that is
 * written synchronously, so that nothing of it is lost when the process ends. Arguments: the app's module, the file.
 */
import { openSync, writeSync } from 'node:fs'
import type { EventJob, Runtime } from 'aftertask'

const [app = '', path = ''] = process.argv.slice(2)
const witness = openSync(path, 'a')

const { runtime } = (await import(app)) as { runtime: Runtime }
const note = (what: string, { id, name }: EventJob): void => {
  writeSync(witness, `${what} ${id} ${name}\n`)
  process.send?.(`${what} ${name}`)
}
runtime.on('job:enqueued', ({ job }) => note('accepted', job))
for (const end of ['completed', 'dead', 'cancelled', 'skipped', 'lost'] as const) {
  runtime.on(`job:${end}`, ({ job }) => note(end, job))
}
