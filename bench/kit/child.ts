/** Runs a program of the benchmark in a process of its own and takes what it sends: nothing of one measurement is left for the next. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

// Whatever takes longer hangs.
const PATIENCE = 300_000

/** Starts a module of `bench/` and resolves to the first message that it sends. */
export function inChild<Answer>(module: string, args: readonly string[] = []): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const file = fileURLToPath(new URL(`../${module}`, import.meta.url))
  const child = fork(file, args, { timeout: PATIENCE, killSignal: 'SIGKILL' })
  child.on('message', (sent: Answer) => {
    resolve(sent)
    child.disconnect()
  })
  child.on('exit', (code, signal) => {
    reject(new Error(`${module} ended with ${signal ?? `code ${code}`} and sent nothing.`))
  })
  return promise
}

/** Sends the answer of a program that `inChild` started, and ends it. */
export function answer(value: unknown): void {
  process.once('disconnect', () => process.exit(0))
  process.send?.(value)
}
