/** What a worker process writes: one line of JSON for each thing that somebody may have to look into. */
import type { AnyRuntime } from '../engine/runtime.ts'

/** Writes a line: its time, its level, what it is about, and whatever belongs to that. */
export function log(level: string, event: string, fields: object): void {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level, event, ...fields })}\n`)
}

/** Writes a line for each event of a runtime that is worth one. */
export function logEvents(runtime: AnyRuntime): void {
  // Whoever reads the log may go away; that is no reason to stop working.
  process.stdout.on('error', () => {})
  runtime.on('job:dead', ({ job, error, total }) =>
    log('error', 'job:dead', { job, error: inWords(error), total }),
  )
  runtime.on('job:retrying', ({ job, error, delay }) => {
    log('warn', 'job:retrying', { job, error: inWords(error), delay })
  })
  runtime.on('job:interrupted', ({ job, reason }) => log('warn', 'job:interrupted', { job, reason }))
  runtime.on('job:fenced', ({ job, state, error }) =>
    log('warn', 'job:fenced', { job, state, error: inWords(error) }),
  )
  runtime.on('job:log', ({ job, level, message, data }) => log(level, 'job:log', { job, message, data }))
  runtime.on('thread:exited', ({ pool, thread, exitCode, expected, error }) => {
    if (!expected) log('error', 'thread:exited', { pool, thread, exitCode, error: error && inWords(error) })
  })
  runtime.on('broker:down', ({ error }) => {
    log('error', 'broker:down', { error: inWords(error) })
    // Also where nobody reads the log: without its store a worker does nothing.
    process.stderr.write(`aftertask: the broker is down: ${error.message}\n`)
  })
  runtime.on('broker:up', ({ downFor }) => log('info', 'broker:up', { downFor }))
}

function inWords(error: Error): string {
  return `${error.name}: ${error.message}`
}
