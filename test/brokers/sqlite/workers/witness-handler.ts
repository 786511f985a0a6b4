/** Tells the witness of each run, and takes the process along when it is told to. */
import { openSync, writeSync } from 'node:fs'

const line = openSync(process.env['WITNESS'] ?? '', 'a')

export default async ({ n, ms, kill }: { n: string; ms: number; kill?: boolean }): Promise<string> => {
  writeSync(line, `run ${n}\n`)
  if (kill) process.kill(process.pid, 'SIGKILL')
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms))
  writeSync(line, `done ${n}\n`)
  return n
}
