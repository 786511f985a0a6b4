/**
 * Loaded before an app (`--import`): writes what becomes of every job of the process to the file WITNESS, synchronously, so that
 * nothing of it is lost when the process ends.
 */
import { subscribe } from 'node:diagnostics_channel'
import { openSync, writeSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

const { WITNESS } = process.env
if (isMainThread && WITNESS !== undefined) {
  const file = openSync(WITNESS, 'a')
  for (const what of ['enqueued', 'completed', 'dead', 'cancelled', 'skipped', 'lost']) {
    subscribe(`aftertask:job:${what}`, (event) => {
      const { job } = /** @type {{ job: { id: string, name: string } }} */ (event)
      writeSync(file, `${what} ${job.id} ${job.name}\n`)
    })
  }
}
