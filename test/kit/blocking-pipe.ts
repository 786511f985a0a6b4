/** A place where a thread can get stuck in native code, without a process beside it that would be left behind. */
import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { onTestFinished } from 'vitest'

/** Makes a named pipe: whoever opens it for reading waits for a writer, until the test is over. */
export function blockingPipe(path: string): string {
  execFileSync('mkfifo', [path])
  onTestFinished(() => {
    try {
      closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK))
    } catch {
      // Nobody waits there any more.
    }
  })
  return path
}
