/**
 * What the event loop's side of the SQLite broker and its journal say to each other. The journal is where jobs are: it
 * owns the file, keeps the rules of when a job may run, and grants jobs to the event loop's window. One message goes out
 * a turn, all operations that have arrived go into one transaction, and one reply follows its commit.
 *
 * Operations are flat arrays, entry after entry in one long array, since a copy of one array between threads costs far
 * less than one of many objects. Jobs are named by `seq`, counted in the run of this process; `n` in the file is
 * `seq` plus the base of its run, so jobs of other runs have a negative or very large `seq` here.
 */
// long because: it is one language, whose words are looked up in one place
import type { JobState } from '../words/job.ts'
import type { Encoded } from './codec.ts'
import type { JournalFound, JournalSearch, TallyRow } from './journal-search.ts'
import type { WireError } from './wire-error.ts'

/** The states as the file knows them, by number. Their order is part of the file's format. */
export const STATES: readonly JobState[] = [
  'held',
  'waiting',
  'scheduled',
  'available',
  'running',
  'retryable',
  'completed',
  'cancelled',
  'skipped',
  'dead',
]
export const HELD = 0
export const WAITING = 1
export const SCHEDULED = 2
export const AVAILABLE = 3
export const RUNNING = 4
export const RETRYABLE = 5
export const COMPLETED = 6
export const CANCELLED = 7
export const SKIPPED = 8
export const DEAD = 9

/** Job numbers that one run of a process has to itself. */
export const RUN_SPAN = 2 ** 33

/**
 * Milliseconds before its end at which the journal takes a key that is held for a time for free: whoever adds counts in
 * fractions of a millisecond, on a clock that drifts, and what is free there must not be held here.
 */
export const KEY_SLACK = 5

/** Why a job is skipped whose batch ended with a failure before it. */
export const BATCH_FAILED = 'an earlier job of its batch failed'
/** Why a job is skipped that turned out to be equal to one of another process. */
export const DUPLICATE = 'an equal job of another process is pending'
/** Why a job ended without having run: as the one that it is equal to did. */
export const TWIN = 'an equal job of another process ran in its place'

/** Operations: the first entry of each. Times are wall-clock milliseconds. */
export const OP = {
  /** `seq, task, flags, priority, accepted, due, after, key, uniqueKey, uniqueUntil, expires, payload, rest` */
  add: 0,
  /** `seq, due`: the response of a held job is over. */
  release: 1,
  /** `seq, attempts`: the job's attempt is about to start, alone. */
  mark: 2,
  /** `seq, attempts`: it did not start after all. */
  unmark: 3,
  /** `seq, due, attempts, failures, crashes, error` */
  retry: 4,
  /** `seq, isGranted, state, result, error, reason, attempts, failures, crashes, started, ended, thread, cpu` */
  finish: 5,
  /** `seq, attempt, outcome, started, ended, thread, cpu, error` */
  attempt: 6,
  /** `seq, isHeld` */
  revive: 7,
  /** Nothing: look what is due. */
  tick: 8,
  /** `id, definition, nextAt, isUnlessSame`: one that is the same may be left as it is. */
  putSchedule: 9,
  /** `id` */
  removeSchedule: 10,
  /** `seq, reason`: a job that is not at hand is to be cancelled, wherever it is. */
  cancel: 11,
  /** `seq, progress` */
  progress: 12,
  /** `seq, uniqueKey`: the key that the job holds from now on; null: none. */
  uniqueKey: 13,
  /** `seq`: a held job waits for none of its batch any more. */
  detach: 14,
  /** `pool, isPaused`: nothing of a pool is to be granted, or it is again. */
  pause: 15,
  /** `seq, attempts`: a granted job that has not begun is for other processes. */
  giveBack: 16,
  /** `milliseconds`: by so much the journal's time is ahead of the wall clock, which somebody has set. */
  ahead: 17,
  /** `seq, lines, bytes, dropped, text, mostLines, mostBytes`: what a job has said; `dropped` before these were not kept. */
  log: 18,
  /**
   * `seq, token, isGranted, priority, due, hasPayload, payload`: a job that waits is to be otherwise; null: as it is. What came of
   * it is told under the token.
   */
  change: 19,
} as const

/** Entries of each operation, itself included, by its number. */
export const OP_LENGTH: readonly number[] = [14, 3, 3, 3, 7, 14, 9, 3, 1, 5, 2, 3, 3, 3, 2, 3, 3, 2, 8, 8]

/** What comes of a change: the job is under way, over, or another process's; it is done; its grant is on its way to who asks. */
export const CHANGE = { refused: 0, done: 1, granted: 2 } as const

/** The same operations without the jobs that they add. */
export function withoutAdds(ops: readonly unknown[]): unknown[] {
  return keepOps(ops, (op) => op !== OP.add)
}

/** Where an `add` says which job it waits for. */
const AFTER = 7

/** The jobs that operations add, each with the one of its batch that it waits for. */
export function* addsIn(ops: readonly unknown[]): Iterable<readonly [seq: number, after: number | null]> {
  for (let at = 0; at < ops.length; at += OP_LENGTH[ops[at] as number] as number)
    if (ops[at] === OP.add) yield [ops[at + 1] as number, ops[at + AFTER] as number | null]
}

/** The operations that are kept, by what each is and where it stands. */
function keepOps(ops: readonly unknown[], isKept: (op: number, at: number) => boolean): unknown[] {
  const kept: unknown[] = []
  for (let at = 0; at < ops.length; ) {
    const op = ops[at] as number
    const length = OP_LENGTH[op] as number
    if (isKept(op, at)) kept.push(...ops.slice(at, at + length))
    at += length
  }
  return kept
}

/** Flags of `add`. */
export const ADD_HELD = 1
export const ADD_STOPS = 2

/** Kinds of messages to the journal. */
export const TO_JOURNAL = {
  /** `[BATCH, number, wall, ops, isRepeated]`; repeated: it was said to a thread that died, and may be written. */
  batch: 0,
  /** `[ASK, number, question, argument]` */
  ask: 1,
  /** `[CLOSE, wall]` */
  close: 2,
} as const

/** Kinds of messages from the journal. */
export const FROM_JOURNAL = {
  /** `[OPENED, Opened]` */
  opened: 0,
  /** `[REFUSED, JournalFault]`: the file cannot be used; the thread ends. */
  refused: 1,
  /** `[COMMITTED, Reply]` */
  committed: 2,
  /** `[ANSWER, number, fault, value]` */
  answer: 3,
  /** `[CLOSED, fault]` */
  closed: 4,
  /** `[HEALTH, fault]`: nothing can be written at present, or (null) it can again; told when no reply tells it. */
  health: 5,
  /** `[TAKEN, fault]`: another process has the file now, and this one is out of it for good; the thread ends. */
  taken: 6,
} as const

/** A task as the journal knows it. */
export interface JournalTask {
  readonly name: string
  readonly pool: string
  readonly concurrency: number
  readonly onCrash: 'retry' | 'fail'
  readonly maxCrashes: number
  /** How long its finished jobs are kept, where that is not the journal's rule. */
  readonly retention: { readonly count: number; readonly age: number } | undefined
}

/** A place in the journal where a test can end the process. */
export type FailPoint = 'before-commit' | 'after-commit' | 'before-checkpoint' | 'during-checkpoint'

/** What the journal is opened with. */
export interface JournalSetup {
  readonly file: string
  readonly durability: 'power' | 'process'
  readonly isShared: boolean
  /** The file is read, and nothing in it is changed: by a terminal, beside the process that owns it or after its end. */
  readonly isReadOnly?: boolean
  readonly tasks: readonly JournalTask[]
  /** Jobs that are granted at one time to each pool. */
  readonly window: number
  readonly ageing: number
  /** Bytes of the log that is written ahead, at which what it holds goes into the file. */
  readonly logLimit: number
  readonly retention: { readonly count: number; readonly age: number; readonly dead: number }
  /** What the ids of this runtime's jobs start with. */
  readonly idPrefix: string
  readonly wall: number
  /** The run to go on with, when its thread had died, the jobs in its window, and the file that it had. */
  readonly resume?: {
    readonly run: number
    readonly window: readonly number[]
    readonly identity: FileIdentity
    /** Jobs that were refused of late, and which each would have waited for. */
    readonly passed: ReadonlyMap<number, number>
  }
  /** The permissions of files that are made, as `chmod` takes them. */
  readonly mode: number
  /** How long a process that cannot be looked at from here may take to say that it is there, in milliseconds. */
  readonly answerWithin: number
  /** How long a transaction waits for another process, in milliseconds. */
  readonly patience: number
  /** One number in shared memory: once it is not 0, no transaction waits any longer for another process. */
  readonly hurry?: Int32Array
  /** The most pages that the file may have: for tests of a full disk. */
  readonly maxPages?: number
  /** The version that SQLite is said to have: for tests of its refusal. */
  readonly sqliteVersion?: string
  readonly failAt?: { readonly point: FailPoint; readonly after: number }
}

/** Which file it is, whatever it is called: its device and its number there. */
export type FileIdentity = string

/** What an opened journal tells. */
export interface Opened {
  readonly run: number
  readonly identity: FileIdentity
  /** Unfinished jobs that were there already and whose tasks are known. */
  readonly unfinished: number
  /** Unique keys that are held: `uniqueKey, row, ...`. */
  readonly unique: readonly Row[]
  readonly reply: Reply
}

/** What a commit has brought. */
export interface Reply {
  /** Every batch up to this number is written. */
  upTo: number
  /** Jobs that are granted and whose record is at hand: `seq, ready, ...`. */
  granted: number[]
  /** Jobs that are granted, whole. */
  rows: Row[]
  /** Jobs that reached a terminal state in the journal itself, whole. */
  settled: Row[]
  /** Jobs whose queueTimeout has passed, whole. */
  expired: Row[]
  /** Jobs that are where their add did not show: `seq, state, ...`. */
  moved: number[]
  /** Ends that do not count: another process has the job now, or has ended it. */
  refused: number[]
  /** Jobs that hold something which cannot be written, and why: `seq, message, ...`. Nothing else is the worse for it. */
  unwritable: (number | string)[]
  /** What came of changes: `token, outcome, ...`, the outcome as `CHANGE` has it; absent for none. */
  changed?: number[]
  /** Jobs of ours that somebody asks to cancel: `seq, reason, ...`. */
  cancels: (number | string | null)[]
  /** Others had taken this run for dead, and it has begun anew: of what it was granted, these are still its own. */
  owned?: readonly number[]
  /** Schedules of the file were set, removed or run by another process. */
  haveSchedulesChanged?: boolean
  /** When the next job is due; Infinity for none, absent when nothing changed. */
  nextDue?: number
  /** Why the jobs that these batches added could not be taken. The other operations wait, or were written. */
  fault?: JournalFault
  /** Jobs that these batches add once more, and that are written: what is told of the fault is not said of them. */
  there?: readonly number[]
  /** True when operations wait for the fault to pass. */
  isStuck?: boolean
}

/** One job, whole: the columns in this order. */
export type Row = readonly [
  seq: number,
  id: string,
  task: number,
  state: number,
  priority: number,
  accepted: number,
  ready: number,
  due: number | null,
  attempts: number,
  failures: number,
  crashes: number,
  isSuspect: number,
  key: string | null,
  uniqueKey: string | null,
  uniqueUntil: number | null,
  payload: Encoded | null,
  result: Encoded | null,
  rest: string | null,
  finished: number | null,
  reason: string | null,
  error: string | null,
  progress: Encoded | null,
  taskName: string,
]

/** Why the journal cannot do its work. */
export interface JournalFault {
  readonly kind:
    | 'full'
    | 'read-only'
    | 'io'
    | 'corrupt'
    | 'locked'
    | 'schema'
    | 'version'
    | 'missing'
    | 'replaced'
    | 'linked'
    | 'taken'
  readonly message: string
  /** Who has the file. */
  readonly owner?: { readonly pid: number; readonly host: string }
}

/** One row of the history of attempts. */
export interface AttemptRow {
  readonly attempt: number
  readonly outcome: string
  readonly started: number | null
  readonly ended: number | null
  readonly thread: number | null
  readonly cpu: number | null
  readonly error: string | null
}

/** Some lines of a job, as one text, and how many before them are not kept. */
export interface LogRow {
  readonly dropped: number
  readonly text: string
}

/** What can be asked of the journal: the argument and the answer of each question. */
export interface Questions {
  find: { ask: string; answer: Row | null }
  row: { ask: number; answer: Row | null }
  list: {
    ask: { states: readonly number[] | null; task: string | null; limit: number }
    answer: readonly Row[]
  }
  search: { ask: JournalSearch; answer: JournalFound<Row> }
  tally: { ask: null; answer: readonly TallyRow[] }
  counts: { ask: null; answer: readonly number[] }
  history: { ask: number; answer: readonly AttemptRow[] }
  logs: { ask: number; answer: readonly LogRow[] }
  remove: { ask: number; answer: boolean }
  schedules: { ask: null; answer: readonly { id: string; definition: string; nextAt: number }[] }
  /** Of a shared file: takes the run of a schedule, passes it on, or has made it and says when the next one is. */
  turn: {
    ask: {
      act: 'take' | 'release' | 'complete'
      id: string
      definition: string
      nextAt: number
      next: number
      wall: number
    }
    answer: boolean
  }
}

/** What a wire error is called in a column. */
export function errorText(error: WireError): string {
  // What is asked about is the property itself: a Buffer's `toJSON` has already made something else of its value.
  return JSON.stringify(error, function (this: Record<string, unknown>, key, value: unknown) {
    const own = this[key]
    return own instanceof Uint8Array ? { base64: Buffer.from(own).toString('base64') } : value
  })
}

/** Stands for an error that the file has and nobody can read. */
const UNREADABLE: WireError = {
  name: 'Error',
  message: 'What went wrong is on record, and cannot be read any more.',
  stack: undefined,
}

/** Reads what `errorText` made. Never throws: one damaged column does not take its job, or a list, with it. */
export function errorFromText(text: string): WireError {
  try {
    const error: unknown = JSON.parse(text, (_key, value: unknown) => {
      const base64 = typeof value === 'object' && value !== null ? Reflect.get(value, 'base64') : undefined
      return typeof base64 === 'string' && Object.keys(value as object).length === 1
        ? Buffer.from(base64, 'base64')
        : value
    })
    return isWireError(error) ? error : UNREADABLE
  } catch {
    return UNREADABLE
  }
}

function isWireError(value: unknown): value is WireError {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, 'message') === 'string'
}
