/** A plan: what one simulated run does, as plain data that can be printed, shrunk and replayed. */
import fc from 'fast-check'
import { taskRules } from './tasks.ts'

/** What a simulated handler does in one attempt. */
export interface Behaviour {
  /** How it ends if nobody interferes. */
  readonly ends:
    | 'returns'
    | 'returns much'
    | 'returns rubbish'
    | 'returns poison'
    | 'throws'
    | 'gives up'
    | 'exits'
    | 'dies'
    | 'strays'
  /** Milliseconds until then. */
  readonly ms: number
  /** It never lets its thread's loop turn. */
  readonly blocks: boolean
  /** What it does once its signal has aborted. */
  readonly onAbort: 'ignores' | 'throws' | 'returns'
  /** Jobs that it adds: a number of a spec, or none. */
  readonly adds?: number | undefined
}

/** One job to add. `runs` are its attempts; the last one stands for all that follow. */
export interface Spec {
  readonly task: number
  readonly runs: readonly Behaviour[]
  readonly delay?: number | undefined
  /** Milliseconds from the wall clock's now. */
  readonly runAt?: number | undefined
  readonly priority?: number | undefined
  readonly key?: string | undefined
  readonly unique?: string | undefined
  readonly uniqueFor?: number | undefined
  readonly timeout?: number | undefined
  readonly queueTimeout?: number | undefined
  readonly maxAttempts?: number | undefined
  readonly when?: 'ok' | 'error' | 'always' | undefined
  readonly parallel?: boolean | undefined
  readonly signal?: boolean | undefined
}

/** How a response ends. */
export type ResponseEnd = 'sent' | 'status 500' | 'error' | 'aborted'

/** What a disk refuses: jobs to be added, every commit, or that the file is found under its name. */
export type DiskFault = 'full' | 'io' | 'missing'

/** One step. Numbers of jobs, batches and lanes are taken modulo how many there are. */
export type Op =
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'add'; readonly spec: number; readonly try?: boolean }
  | { readonly do: 'many'; readonly specs: readonly number[] }
  | { readonly do: 'open'; readonly parallel: boolean; readonly stops: boolean }
  | { readonly do: 'batch'; readonly batch: number; readonly spec: number }
  | { readonly do: 'settle'; readonly batch: number; readonly end: ResponseEnd }
  | { readonly do: 'cancel'; readonly job: number; readonly by: 'handle' | 'signal' }
  | { readonly do: 'revive'; readonly job: number }
  | { readonly do: 'pause' | 'resume'; readonly pool: string | null }
  | { readonly do: 'wall'; readonly ms: number }
  | { readonly do: 'thread dies'; readonly lane: number }
  | { readonly do: 'stop'; readonly timeout: number }
  /** The process is gone between two events, and another opens its file after so many milliseconds. */
  | { readonly do: 'crash'; readonly after: number; readonly downtime: number }
  /** The disk refuses for so long: what is new, everything, or the file has lost its name. */
  | { readonly do: 'disk'; readonly fault: DiskFault; readonly ms: number }
  /** The journal's thread is gone: at once, or with a commit done and not told of. */
  | { readonly do: 'journal dies'; readonly when: 'now' | 'untold' }
  | {
      readonly do: 'schedule'
      readonly id: string
      readonly spec: number
      readonly every: number
      readonly missed: 'once' | 'all' | 'skip'
    }
  | { readonly do: 'unschedule'; readonly id: string }
  /** One of several processes does something. */
  | { readonly do: 'in'; readonly process: number; readonly does: Op }
  /** One of several processes is gone between two events, and another takes its place after so many milliseconds. */
  | { readonly do: 'kill'; readonly process: number; readonly after: number; readonly downtime: number }
  /** One of several processes stands still. */
  | { readonly do: 'freeze'; readonly process: number; readonly ms: number }
  /** The connections of a process break. */
  | { readonly do: 'cut'; readonly process: number; readonly ms: number }
  /** The store refuses what a process writes, such as for want of a right. */
  | { readonly do: 'deny'; readonly process: number; readonly ms: number }
  /** The store that processes share stands still, is restarted, loses messages, or answers each write with an error. */
  | {
      readonly do: 'store'
      readonly what: 'hangs' | 'restarts' | 'forgets leases' | 'loses messages' | 'refuses writes'
      readonly ms: number
    }
  /** The next such event makes its listener do something. */
  | { readonly do: 'react'; readonly on: ReactsTo; readonly does: Op }

/** Events whose listener may call back into the runtime. */
export type ReactsTo = (typeof REACTS_TO)[number]

const REACTS_TO = [
  'job:enqueued',
  'job:started',
  'job:completed',
  'job:retrying',
  'job:dead',
  'job:cancelled',
  'job:skipped',
  'job:interrupted',
  'thread:exited',
] as const

/** A whole run. */
export interface Plan {
  readonly world: WorldOptions
  readonly specs: readonly Spec[]
  readonly ops: readonly Op[]
}

/** What differs from run to run besides the steps. */
export interface WorldOptions {
  /** For latencies, jitter and ids. */
  readonly seed: number
  readonly threads: number
  readonly maxPending: number
  readonly ageing: number
  readonly retention: number
  readonly force: boolean
  /** How many threads of each pool die before they are up. */
  readonly stillborn: number
  /** Jobs of each pool that a journal grants at a time. */
  readonly window?: number
  /** Of a cluster: how many processes, and the kind of their store. */
  readonly processes?: number
  readonly isOrdered?: boolean
}

/** Rare: mostly not there. */
function seldom<T>(arbitrary: fc.Arbitrary<T>, outOf = 8): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: outOf - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary })
}

/** One of some values. */
export const pick = <const T>(...values: T[]): fc.Arbitrary<T> => fc.constantFrom(...values)

/** Specs of a plan. */
export const SPECS = 6

const behaviour: fc.Arbitrary<Behaviour> = fc.record({
  ends: pick(
    'returns',
    'returns',
    'returns',
    'returns',
    'throws',
    'throws',
    'returns much',
    'gives up',
    'exits',
    'dies',
    'returns rubbish',
    'returns poison',
    'strays',
  ),
  ms: pick(0, 1, 0, 3, 10, 0.4, 60, 300, 5000),
  blocks: fc.boolean(),
  onAbort: pick('throws', 'ignores', 'returns'),
  adds: seldom(fc.nat(SPECS - 1), 12),
})

/** A job to add. */
export const spec: fc.Arbitrary<Spec> = fc.record({
  task: fc.nat(taskRules.length - 1),
  runs: fc.array(behaviour, { minLength: 1, maxLength: 3 }),
  delay: seldom(pick(0, 5, 80)),
  runAt: seldom(pick(-50, 20, 100), 16),
  priority: seldom(pick(1, -1, 3)),
  key: seldom(pick('a', 'b'), 4),
  unique: seldom(pick('u', 'v')),
  uniqueFor: seldom(pick(20, 200), 4),
  timeout: seldom(pick(5, 30, Number.POSITIVE_INFINITY)),
  queueTimeout: seldom(pick(0, 10, 60)),
  maxAttempts: seldom(pick(1, 4)),
  when: seldom(pick('always', 'error', 'ok'), 4),
  parallel: seldom(fc.boolean()),
  signal: seldom(fc.constant(true)),
})

const number = fc.nat(63)
const pools = pick(null, 'default', 'io', 'elastic')
const specNumber = fc.nat(SPECS - 1)
/** Time passes. */
export const advance = fc.record({
  do: fc.constant('advance' as const),
  ms: pick(0, 1, 5, 0.3, 20, 100, 1000),
})
const add = fc.record({ do: fc.constant('add' as const), spec: specNumber, try: fc.boolean() })
const cancel = fc.record({
  do: fc.constant('cancel' as const),
  job: number,
  by: pick('handle', 'signal'),
})
const revive = fc.record({ do: fc.constant('revive' as const), job: number })
const pause = fc.record({ do: pick('pause', 'resume', 'resume'), pool: pools })
const batch = fc.record({ do: fc.constant('batch' as const), batch: number, spec: specNumber })
const settle = fc.record({
  do: fc.constant('settle' as const),
  batch: number,
  end: pick('sent', 'sent', 'status 500', 'error', 'aborted'),
})
const many = fc.record({
  do: fc.constant('many' as const),
  specs: fc.array(specNumber, { minLength: 0, maxLength: 6 }),
})
const open = fc.record({ do: fc.constant('open' as const), parallel: fc.boolean(), stops: fc.boolean() })
export const wall = fc.record({
  do: fc.constant('wall' as const),
  ms: pick(1000, -1000, 86_400_000, -86_400_000),
})
// A journal takes what is below a second for the work of a time server.
const bigStep = fc.record({
  do: fc.constant('wall' as const),
  ms: pick(5000, -5000, 3_600_000, -3_600_000, 86_400_000, -86_400_000),
})
const death = fc.record({ do: fc.constant('thread dies' as const), lane: number })
/** The runtime stops. */
export const stop = fc.record({
  do: fc.constant('stop' as const),
  timeout: pick(0, 50, 2000, Number.POSITIVE_INFINITY),
})

const crash = fc.record({
  do: fc.constant('crash' as const),
  after: fc.nat(20),
  downtime: pick(0, 1, 30, 500, 5000),
})
const diskFault = fc.record({
  do: fc.constant('disk' as const),
  fault: pick<DiskFault>('full', 'io', 'missing'),
  ms: pick(0.2, 5, 300, 3000),
})
const journalDeath = fc.record({ do: fc.constant('journal dies' as const), when: pick('now', 'untold') })
/** A schedule is set or removed. */
export const schedule = fc.oneof(
  fc.record({
    do: fc.constant('schedule' as const),
    id: pick('s', 't'),
    spec: specNumber,
    every: pick(40, 300, 2000),
    missed: pick('once', 'all', 'skip'),
  }),
  fc.record({ do: fc.constant('unschedule' as const), id: pick('s', 't') }),
)

/** What a listener does. */
function reaction(mayStop: boolean): fc.Arbitrary<Op> {
  return fc.record({
    do: fc.constant('react' as const),
    on: pick(...REACTS_TO),
    does: fc.oneof(
      { weight: 3, arbitrary: add },
      { weight: 5, arbitrary: cancel },
      { weight: 2, arbitrary: revive },
      { weight: 1, arbitrary: pause },
      { weight: 1, arbitrary: settle },
      { weight: 1, arbitrary: batch },
      { weight: mayStop ? 1 : 0, arbitrary: stop },
    ) as fc.Arbitrary<Op>,
  })
}

/** How often a kind of step comes. */
export interface Weighted {
  readonly weight: number
  readonly arbitrary: fc.Arbitrary<unknown>
}

/** The steps of every broker. */
export function common(mayStop: boolean): Weighted[] {
  return [
    { weight: 60, arbitrary: advance },
    { weight: 40, arbitrary: add },
    { weight: 10, arbitrary: many },
    { weight: 6, arbitrary: open },
    { weight: 24, arbitrary: batch },
    { weight: 8, arbitrary: settle },
    { weight: 18, arbitrary: cancel },
    { weight: 6, arbitrary: revive },
    { weight: 8, arbitrary: pause },
    { weight: 4, arbitrary: death },
    { weight: 14, arbitrary: reaction(mayStop) },
  ]
}

/** One of some steps. */
export function oneOf(steps: readonly Weighted[]): fc.Arbitrary<Op> {
  return fc.oneof(...steps) as fc.Arbitrary<Op>
}

function step(mayStop: boolean): fc.Arbitrary<Op> {
  return oneOf([
    ...common(mayStop),
    { weight: 3, arbitrary: wall },
    { weight: mayStop ? 1 : 0, arbitrary: stop },
  ])
}

// After a stop, as after a crash, another process goes on.
const durableStep = oneOf([
  ...common(true),
  { weight: 12, arbitrary: crash },
  { weight: 5, arbitrary: journalDeath },
  { weight: 5, arbitrary: diskFault },
  { weight: 3, arbitrary: bigStep },
  { weight: 4, arbitrary: stop },
  { weight: 5, arbitrary: schedule },
])

/** What differs from run to run. */
export const options: fc.Arbitrary<WorldOptions> = fc.record({
  seed: fc.nat(),
  threads: pick(1, 2, 3),
  maxPending: pick(1000, 1000, 1000, 3, 6),
  ageing: pick(1000, 100, 0),
  retention: pick(1000, 1000, 2, 0),
  force: fc.boolean(),
  stillborn: pick(0, 0, 0, 1, 4),
})

const durableOptions: fc.Arbitrary<WorldOptions> = fc
  .tuple(options, pick(4096, 4096, 4, 1))
  .map(([world, window]) => ({ ...world, window }))

// After a stop little happens: a plan longer than this has none.
const LONG = 200

/** Plans with so many steps. */
export function plans(steps: { readonly least: number; readonly most: number }): fc.Arbitrary<Plan> {
  const op = step(steps.most <= LONG)
  return fc.record({
    world: options,
    specs: fc.array(spec, { minLength: SPECS, maxLength: SPECS }),
    ops: fc.array(op, { minLength: steps.least, maxLength: steps.most, size: 'max' }),
  })
}

/** The same for a broker that survives the process, which may end between any two events. */
export function durablePlans(steps: { readonly least: number; readonly most: number }): fc.Arbitrary<Plan> {
  return fc.record({
    world: durableOptions,
    specs: fc.array(spec, { minLength: SPECS, maxLength: SPECS }),
    ops: fc.array(durableStep, { minLength: steps.least, maxLength: steps.most, size: 'max' }),
  })
}
