/** Reads a journal so that there is always a transaction which began before the one ahead of it was over. */
import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'

const readers = [0, 1].map(() => new DatabaseSync(workerData as string, { readOnly: true, timeout: 5000 }))
const begin = (at: number): void => readers[at]?.exec('BEGIN; SELECT count(*) FROM jobs')
const end = (at: number): void => readers[at]?.exec('COMMIT')

begin(0)
parentPort?.postMessage('reading')
let turn = 0
setInterval(() => {
  const next = 1 - turn
  begin(next)
  end(turn)
  turn = next
}, 5)
