/** What a job is: its states, what a caller may say about one, and what can be read of it. */

/** The states of jobs that are not over. */
export const UNFINISHED_STATES = [
  'held',
  'waiting',
  'scheduled',
  'available',
  'running',
  'retryable',
] as const
/** The states of jobs that are over. */
export const TERMINAL_STATES = ['completed', 'cancelled', 'skipped', 'dead'] as const

/** All of them. */
export const JOB_STATES = [...UNFINISHED_STATES, ...TERMINAL_STATES] as const

/** The terminal states. */
export type TerminalState = (typeof TERMINAL_STATES)[number]
/** Where a job stands. The terminal states are reached once and never left (but for `revive`). */
export type JobState = (typeof UNFINISHED_STATES)[number] | TerminalState

/** The count of no jobs in each state, to add to. */
export function noCounts(): Record<JobState, number> {
  return Object.fromEntries(JOB_STATES.map((state) => [state, 0])) as Record<JobState, number>
}

/** True when a job in this state is over. */
export function isTerminal(state: JobState): state is TerminalState {
  // Asked several times of every job: comparisons cost nothing, a search in the list above does.
  return state === 'completed' || state === 'dead' || state === 'cancelled' || state === 'skipped'
}

/** How a response ended: what `when` decides on. */
export interface ResponseFacts {
  /** The status code of the response, as it stood when it settled. */
  readonly statusCode: number
  /** `sent`: handed to the system whole; `aborted`: the connection closed first. Sent does not mean received. */
  readonly outcome: 'sent' | 'aborted'
  /** The error that reached the framework's error handler, when one did and the handler said so. */
  readonly error: unknown
  /** The request's method. */
  readonly method: string
  /** The request's URL as the client sent it. */
  readonly url: string
}

/**
 * Which responses a job runs after: `ok` (the default) when the response did not fail (status below 500 and no
 * error), sent or aborted; `error` when it did; `always`; or a predicate on the facts.
 */
export type When = 'ok' | 'error' | 'always' | ((facts: ResponseFacts) => boolean)

/** How long a job is unique, and what becomes of an equal one that is added meanwhile. */
export interface UniqueTerms {
  /** Milliseconds from acceptance, whether or not the first job is over by then. Not together with the others. */
  for?: number
  /**
   * `pending` (the default): until the first job is over. `waiting`: until its first attempt starts, so that a change
   * which comes while the job runs gets a job of its own.
   */
  while?: 'pending' | 'waiting'
  /** True: the newer job takes the place of one that has not started, which is cancelled. Goes with `while: 'waiting'`. */
  replace?: boolean
}

/** What one call may say about its job; each overrides the task's own setting. */
export interface JobOptions {
  /** Which responses the job runs after. Default: the task's, or `ok`. Without a response it has no effect. */
  when?: When
  /** Milliseconds to wait before the first attempt, counted from the response's end (or from the call, without one). */
  delay?: number
  /** The wall-clock time of the first attempt, as a `Date` or milliseconds since 1970. Not together with `delay`. */
  runAt?: Date | number
  /** A larger number goes first. Default 0. Waiting raises it: see `priorityAgeing` of `createRuntime`. */
  priority?: number
  /** Jobs with the same key run one at a time, in the order added. */
  key?: string
  /**
   * At most one such job: `true` while an equal one (same task and payload) is pending, a string to say what is
   * equal, or an object with `key` and terms: see `UniqueTerms`. A duplicate returns the first job's handle, and the
   * first payload is the one that counts, unless `replace` says otherwise.
   */
  unique?: boolean | string | ({ key?: string } & UniqueTerms)
  /** Milliseconds an attempt may run, counted from its start. `Infinity`: no limit. */
  timeout?: number
  /** Milliseconds the job may wait for its first attempt, counted from acceptance. `Infinity`: no limit. */
  queueTimeout?: number
  /** Attempts in total, the first included. */
  maxAttempts?: number
  /** `parallel`: does not wait for the jobs before it in its batch, nor they for it. Default: the batch's. */
  order?: 'sequential' | 'parallel'
  /** Buffers to move instead of copying; they are unusable for the caller at once. Such a job has one attempt. */
  transfer?: readonly ArrayBuffer[]
  /** Cancels the job when it aborts. */
  signal?: AbortSignal
}

/** How a job ended: what `settled` resolves to. */
export interface Settlement<Result = unknown> {
  /** The terminal state. */
  readonly state: TerminalState
  /** What the handler returned; absent unless completed. */
  readonly result?: Result
  /** Why it did not complete; absent when it did. */
  readonly error?: Error
  /** How many attempts were made. */
  readonly attempts: number
}

/** How an attempt went. `interrupted`: ended through no fault of its own, and not counted. */
export type AttemptOutcome = 'completed' | 'failed' | 'crashed' | 'cancelled' | 'interrupted'

/** One attempt of a job: plain data, fit for `JSON.stringify`. */
export interface AttemptInfo {
  /** Counted from 1; an interrupted attempt shares its number with the one that follows it. */
  readonly attempt: number
  readonly outcome: AttemptOutcome
  /** In milliseconds since 1970; absent when its process ended without a word. */
  readonly startedAt?: number
  /** In milliseconds since 1970. */
  readonly endedAt?: number
  /** The number of its thread in its pool. */
  readonly thread?: number
  /**
   * CPU time of the thread during the attempt in milliseconds, where Node tells it (from 23.9) and the broker keeps it.
   * Absent when the attempt shared its thread with another, since nobody can tell whose it was.
   */
  readonly cpu?: number
  readonly error?: {
    readonly name: string
    readonly message: string
    readonly code?: string
    readonly stack?: string
  }
}

/** How much of the lines of one job is kept: at most so many, and so many bytes together. The oldest go first. */
export interface LogLimits {
  readonly lines: number
  readonly bytes: number
}

/** One line that a job's handler gave to `ctx.log` or printed: plain data. */
export interface JobLogLine {
  /** In milliseconds since 1970. */
  readonly at: number
  readonly attempt: number
  /** `log`: given to `ctx.log`. `stdout`, `stderr`: printed. `runtime`: says that lines are missing here. */
  readonly from: 'log' | 'stdout' | 'stderr' | 'runtime'
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly data?: unknown
  /** How many lines are missing here. */
  readonly dropped?: number
}

/** One thing that has happened to a job. Times are milliseconds since 1970. */
export interface TimelineEntry {
  /** `due`: when it may start; `ready`: when it could run; `ended`: with its `state`. */
  readonly what: 'accepted' | 'due' | 'ready' | 'attempt' | 'ended'
  readonly at: number
  /** When an attempt was over; absent for one that is under way. */
  readonly until?: number
  readonly attempt?: number
  readonly outcome?: AttemptOutcome
  readonly thread?: number
  readonly cpu?: number
  readonly state?: TerminalState
}

/** The facts of a job at one moment: plain data, fit for `JSON.stringify`. */
export interface JobInfo {
  readonly id: string
  readonly name: string
  readonly state: JobState
  /** Attempts made or under way. */
  readonly attempts: number
  /** What the handler last gave to `ctx.progress`, when it did. */
  readonly progress?: unknown
  /** What the handler returned; present when completed with a value. */
  readonly result?: unknown
  /** The last error, when there was one. */
  readonly error?: { readonly name: string; readonly message: string; readonly code?: string }
  /** Why it was skipped or cancelled, in words. */
  readonly reason?: string
  /** When it was accepted, in milliseconds since 1970. */
  readonly enqueuedAt: number
  /** When it reached its terminal state, in milliseconds since 1970. */
  readonly settledAt?: number
  readonly priority: number
  readonly key?: string
  /** Its attempts that are over, oldest first, the latest 50: from `runtime.job(id)`. */
  readonly history?: readonly AttemptInfo[]
  /** What its handler gave to `ctx.log` and printed, oldest first: from `runtime.job(id, { logs: true })`. */
  readonly logs?: readonly JobLogLine[]
  /** What it was given, for as long as that is kept: from `job(id, { payload: true })`. */
  readonly payload?: unknown
  /** What is left out here for its size, with its size in bytes. */
  readonly cut?: { readonly payload?: number; readonly result?: number; readonly progress?: number }
  /** What has happened to it, in order: from `job(id, { detail: true })`, as are the next two. */
  readonly timeline?: readonly TimelineEntry[]
  /** Why it does not run, in words; absent when it runs or is over. */
  readonly waits?: string
  /** The unfinished jobs of its key and the jobs of its batch, oldest first, the first 20 of each. */
  readonly neighbours?: { readonly key?: readonly JobInfo[]; readonly batch?: readonly JobInfo[] }
}
