/**
 * Runs the same handlers in the thread of a test and on real threads. Whatever can be seen of them is the same: states,
 * results, errors, events, log lines, the jobs that they add, the times at which all of it happens. What is not looked at
 * is what the guide names: what only a thread of its own can do (loops without end, exits, errors that escape).
 */
import fc from 'fast-check'
import { z } from 'zod'
import { type AnyTask, defineTask, type EventJob, type EventName, type Job } from '../../../src/index.ts'
import { createTestRuntime, type Mocks, type TestMode } from '../../../src/testing/index.ts'
import { type Fuzzer, makeFuzzer } from '../fuzzer.ts'
import { recipes as allRecipes, make, type Recipe } from '../values/recipes.ts'
import { type End, type Script, type Step, WAITING } from './handlers.ts'
import { difference, textOf } from './seen.ts'

/** One job, as it is added. */
interface Given {
  readonly task: string
  readonly script: Script
  readonly extra: Recipe | null
  readonly options: Readonly<Record<string, unknown>>
}

/** Jobs that are added at once, and whether somebody ends them. */
interface Program {
  readonly jobs: readonly Given[]
  /** What ends a handler that waits: its timeout, or a cancel. */
  readonly ended: 'timeout' | 'cancel'
}

const module = new URL('./handlers.ts', import.meta.url)
const retry = {
  maxAttempts: 3,
  backoff: { type: 'exponential', delay: 1000, max: 60_000, jitter: false },
} as const
const taskOf = (name: string, more: object = {}): AnyTask =>
  defineTask({ name, handler: { module, export: name }, retry, timeout: 30_000, payload: z.any(), ...more })

/** But for those that take for ever to compare: other fuzzers send them. */
const recipes = allRecipes.filter((recipe) => !/"(?:dag|deep)"/.test(JSON.stringify(recipe)))

const isSmall = (value: unknown): boolean => !(typeof value === 'number' && value > 3)
const tasks = [
  taskOf('awaiting'),
  taskOf('prompt'),
  defineTask({
    name: 'strict',
    handler: { module, export: 'awaiting' },
    retry,
    timeout: 30_000,
    payload: z.object({
      steps: z.array(z.any()).max(2),
      failures: z.number(),
      end: z.any(),
      extra: z.any().transform((value) => (value === undefined ? 'by default' : value)),
    }),
    result: z.any().refine(isSmall, 'too large').transform((value) => ({ checked: value })), // biome-ignore format: one rule
  }),
  defineTask({
    name: 'child',
    handler: { module, export: 'child' },
    payload: z.union([z.string().transform((text) => text.toUpperCase()), z.object({ n: z.number() })]),
    key: 'children',
    unique: { key: (payload) => JSON.stringify(payload), for: 700 },
  }),
]

const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(fc.constantFrom('progress' as const, 'log' as const, 'change' as const), recipes),
  fc.tuple(fc.constantFrom('look', 'turn', 'timer', 'microtask', 'write')) as fc.Arbitrary<Step>,
  fc.tuple(
    fc.constant('add' as const),
    fc.constantFrom('child', 'child', 'child', 'nobody'),
    fc.constantFrom<unknown>('text', { n: 1 }, { n: 'none' }, 5, undefined),
    fc.constantFrom(null, {}, { delay: 500 }, { priority: 3 }, { unique: false }, { delay: -1 }, { odd: 1 }),
  ),
)

const ends: fc.Arbitrary<End> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.tuple(
      fc.constantFrom(
        ...(['return', 'resolve', 'throw', 'reject', 'own', 'unrecoverable', 'thenable'] as const),
      ),
      recipes,
    ),
  },
  { weight: 1, arbitrary: fc.tuple(fc.constant('move' as const), fc.nat(2000)) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constant('wait' as const), fc.constantFrom('reason', 'result', 'error')),
  },
) as fc.Arbitrary<End>

const programs: fc.Arbitrary<Program> = fc.record({
  ended: fc.constantFrom('timeout' as const, 'cancel' as const),
  jobs: fc.array(
    fc.record({
      task: fc.constantFrom('awaiting', 'prompt', 'strict', 'child', 'nobody'),
      script: fc.record({
        steps: fc.array(steps, { maxLength: 4 }),
        failures: fc.constantFrom(0, 0, 0, 1, 2, 3),
        end: ends,
      }),
      extra: fc.option(recipes),
      options: fc.constantFrom<Given['options']>(
        ...[{}, {}, {}, { delay: 2000 }, { maxAttempts: 1 }, { priority: 1 }, { key: 'k' }, { unique: true }],
        ...[{ timeout: 5000 }, { queueTimeout: 1000 }, { delay: Number.NaN }],
      ),
    }),
    { minLength: 1, maxLength: 3 },
  ),
})

type AnyTestRuntime = ReturnType<typeof start>

function start(options: { mode: TestMode; handlers?: Mocks<(typeof tasks)[number]> }) {
  const pool = { threads: 1, concurrency: 1 }
  return createTestRuntime({ ...options, tasks, pool, startAt: new Date('2027-01-01T00:00:00Z') })
}

/** Milliseconds after which a running job that is beyond its timeout has surely been looked at. */
const LATE = 10

const PROGRESS = 'job:progress'
const SEEN = [
  ...['job:enqueued', 'job:started', PROGRESS, 'job:log', 'job:completed', 'job:retrying', 'job:dead'],
  ...['job:cancelled', 'job:skipped', 'job:interrupted', 'job:lost', 'thread:error', 'thread:exited'],
] as readonly EventName[]

/** What happens in a runtime, in the order in which it happens to each job. */
class Observer {
  readonly #runtime: AnyTestRuntime
  readonly #began: number
  readonly ids: string[] = []
  readonly #events = new Map<string, Record<string, unknown>[]>()
  readonly #listeners: readonly (readonly [EventName, (event: object) => void])[]
  #changed = Promise.withResolvers<void>()
  /** The job whose handler waits to be ended, and since when. */
  waiting: { readonly id: string; readonly since: number } | undefined

  constructor(runtime: AnyTestRuntime) {
    this.#runtime = runtime
    this.#began = runtime.clock.wall()
    this.#listeners = SEEN.map((name) => [name, (event: object) => this.#note(name, event)] as const)
    for (const [name, listener] of this.#listeners) runtime.on(name, listener as never)
  }

  /** Milliseconds by the clock of the runtime since the beginning. */
  get now(): number {
    return this.#runtime.clock.wall() - this.#began
  }

  #note(name: EventName, { job, ...rest }: { readonly job?: EventJob; readonly message?: string }): void {
    const id = job?.id ?? ''
    if (!this.ids.includes(id)) this.ids.push(id)
    const events = this.#events.get(id) ?? []
    this.#events.set(id, events)
    // One in 20 ms is told, so how many there are is a matter of pace. The last is told for sure.
    if (name === PROGRESS && events.at(-1)?.['event'] === PROGRESS) events.pop()
    events.push({ event: name, at: this.now, attempt: job?.attempt, ...rest })
    if (name === 'job:log' && rest.message === WAITING) this.waiting = { id, since: this.now }
    const { resolve } = this.#changed
    this.#changed = Promise.withResolvers()
    resolve()
  }

  /** Resolves when something happens. */
  next(): Promise<void> {
    return this.#changed.promise
  }

  async close(): Promise<unknown> {
    for (const [name, listener] of this.#listeners) this.#runtime.off(name, listener as never)
    const jobs = this.ids.map(async (id) => [this.#events.get(id), await this.#runtime.job(id || 'none')])
    return Promise.all(jobs)
  }
}

/** Everything that can be seen of a program in one mode, as text. */
async function observed(runtime: AnyTestRuntime, { jobs, ended }: Program): Promise<string> {
  const observer = new Observer(runtime)
  const refused: unknown[] = []
  const handles: Job[] = []
  const timeouts = new Map<string, unknown>()
  for (const { task, script, extra, options } of jobs) {
    try {
      const payload =
        task === 'child' ? 'plain' : { ...script, ...(extra && { extra: make(extra, 'given') }) }
      const job = runtime.enqueue(task as 'child', payload as never, options as never)
      handles.push(job)
      timeouts.set(job.id, options['timeout'])
    } catch (error) {
      refused.push(error)
    }
  }
  for (;;) {
    const { waiting } = observer
    const next = observer.next()
    const { available, running, completed, dead, cancelled, skipped, ...still } = await runtime.counts()
    if (waiting !== undefined) {
      observer.waiting = undefined
      const timeout = timeouts.get(waiting.id) ?? 30_000
      if (ended === 'cancel') await runtime.cancel(waiting.id, 'by the program')
      else await runtime.clock.advance(waiting.since + Number(timeout) + LATE - observer.now)
    } else if (available + running > 0) await next
    else if (Object.values(still).every((count) => count === 0)) break
    else await runtime.clock.next()
  }
  const settled = await Promise.all(handles.map(async (job) => job.settled))
  const passed = observer.now
  const seen = { refused, settled, at: passed, jobs: await observer.close() }
  // Unique keys outlast their jobs; the next program begins with none.
  await runtime.clock.advance('1h')
  return textOf(seen, observer.ids, runtime.clock.wall() - 3_600_000 - passed)
}

const PATIENCE = 4000

/** A program that does not end is a fault; how long one may take is not looked at. */
function hang(mode: string): Promise<string> {
  return new Promise((resolve) => setTimeout(() => resolve(`(${mode}) it does not end`), PATIENCE).unref())
}

let runtimes: readonly [AnyTestRuntime, AnyTestRuntime]

/** Makes the fuzzer. `faults`: handlers that do otherwise inline, to see whether that is found. */
export function inlineFuzzer(faults?: Mocks<(typeof tasks)[number]>): Fuzzer {
  return makeFuzzer({
    name: 'inline',
    programs,
    async open() {
      runtimes = [start({ mode: 'inline', ...(faults && { handlers: faults }) }), start({ mode: 'threads' })]
      await Promise.all(runtimes.map((runtime) => runtime.ready()))
      return async () => void (await Promise.all(runtimes.map((runtime) => runtime.stop({ timeout: 0 }))))
    },
    async play(program) {
      const [inline, threads] = runtimes
      const [ours, theirs] = await Promise.all([
        Promise.race([observed(inline, program), hang('inline')]),
        Promise.race([observed(threads, program), hang('threads')]),
      ])
      return ours === theirs ? undefined : difference(ours, theirs)
    },
  })
}

/** The fuzzer of the two modes. */
export const fuzzer: Fuzzer = inlineFuzzer()
