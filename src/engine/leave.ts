/** How a process ends once everything is reported and written. */
import type { Writable } from 'node:stream'
import { setTimeout } from 'node:timers/promises'

const FLUSH_TIMEOUT = 500

/**
 * Ends the process with an exit code, once what was written to stdout and stderr is out. `exit` listeners run as they do
 * with `process.exit()`.
 *
 * `process.exit()` waits for every thread, and one that sits in native code (a synchronous child process, an add-on) may
 * take as long as it likes. With `hasStuckThread` the process does not wait: it replaces itself by one that only has the
 * exit code, which ends all threads at once. Where that is not possible it kills itself.
 */
export async function leave(exitCode: number, hasStuckThread: boolean): Promise<void> {
  process.exitCode = exitCode
  await Promise.all([flushed(process.stdout), flushed(process.stderr)])
  // The last listener: the program's own run before it, and may have changed the code.
  if (hasStuckThread) process.on('exit', vanish)
  process.exit()
}

async function flushed(stream: Writable): Promise<void> {
  if (stream.writableLength === 0 || !stream.writable) return
  const { promise, resolve } = Promise.withResolvers<void>()
  stream.write('', () => resolve())
  await Promise.race([promise, setTimeout(FLUSH_TIMEOUT, undefined, { ref: false })])
}

function vanish(exitCode: number): void {
  // What the options preload has nothing to do there, and would take its time.
  const { NODE_OPTIONS: _options, ...env } = process.env
  try {
    process.execve?.(process.execPath, [process.execPath, '-e', `process.exitCode = ${exitCode}`], env)
  } catch {
    // Windows, or a process that may not start others.
  }
  process.kill(process.pid, 'SIGKILL')
}
