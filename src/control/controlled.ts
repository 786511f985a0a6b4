/** What the operations act on: the part of a runtime that is asked and told from outside of its code. */
import type { EventName } from '../words/events.ts'

/**
 * A runtime as the operations see it. They only pass on what it answers, so its answers have no more type here than they need:
 * the runtime's own types say the rest.
 */
export interface Controlled {
  readonly tasks: readonly { readonly name: string }[]
  stats(): object
  metrics(): object
  counts(options: never): Promise<object>
  oldestAge(options: never): Promise<number | undefined>
  failures(query: never): Promise<readonly object[]>
  job(id: string, options: { logs: boolean; reveal?: boolean }): Promise<object | undefined>
  jobs(query: never): Promise<unknown>
  cancel(id: string, reason: unknown, options: By): Promise<boolean>
  revive(id: string, options: By): Promise<boolean>
  runNow(id: string, options: By): Promise<boolean>
  change(id: string, change: never, options: By): Promise<boolean>
  runAgain(id: string, options: { payload?: unknown; by: string }): Promise<Added | undefined>
  remove(id: string, options: By): Promise<boolean>
  cancelAll(query: never, options: OfAll): Promise<object>
  reviveAll(query: never, options: OfAll): Promise<object>
  removeAll(query: never, options: OfAll): Promise<object>
  runNowAll(query: never, options: OfAll): Promise<object>
  schedules(): Promise<readonly object[]>
  runSchedule(id: string, options: By): Promise<Added | undefined>
  pauseSchedule(id: string, options: By): Promise<boolean>
  resumeSchedule(id: string, options: By): Promise<boolean>
  pause(pool: string | undefined, options: By): void
  resume(pool: string | undefined, options: By): void
}

interface By {
  by: string
}

interface OfAll extends By {
  dryRun: boolean
  signal: AbortSignal
}

interface Added {
  readonly id: string
  readonly name: string
}

/** Where events come from that may leave the process: calls back with each, until the call that is returned. */
export type EventSource = (name: EventName, watcher: (event: object) => void) => () => void
