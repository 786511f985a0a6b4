/** Tasks that this process does not have: jobs of them are kept by a broker, from an earlier deploy or for a later one. */
import type { TaskEntry } from './registry.ts'
import { retryPolicy } from './retry.ts'
import type { TaskPolicy } from './task.ts'

/** The number of every task that a runtime does not have. */
const STRANGER = -1

// Nothing of it is ever used to run a job: where a job that nobody here can run is asked for its task, it has one.
const POLICY: TaskPolicy = Object.freeze({
  pool: 'default',
  timeout: undefined,
  queueTimeout: Number.POSITIVE_INFINITY,
  killGrace: undefined,
  retry: retryPolicy({ maxAttempts: 1 }),
  onCrash: 'retry',
  maxCrashes: 3,
  priority: 0,
  concurrency: Number.POSITIVE_INFINITY,
  key: undefined,
  unique: undefined,
  when: 'ok',
  retention: undefined,
  redact: [],
  logs: undefined,
})

/** An entry for a task of this name that the runtime does not have, so that its jobs can be told of. */
export function strangerOf(name: string): TaskEntry {
  const handler = { module: '', export: 'default' }
  const task = Object.freeze({ name, payload: undefined, result: undefined, handler, policy: POLICY })
  return { index: STRANGER, task }
}

/** True when the runtime does not have this task. */
export function isStranger({ index }: TaskEntry): boolean {
  return index === STRANGER
}
