/** One of the processes: adds jobs and runs them, until it is told to stop (SIGTERM) or to add no more (SIGUSR2). */
import { createRuntime, type Job } from 'aftertask'
import { bullmqBroker } from 'aftertask/bullmq'
import { sqliteBroker } from 'aftertask/sqlite'
import * as tasks from './tasks.ts'
import { note } from './trail.ts'

/** What a process is started with. */
export interface Part {
  readonly name: string
  readonly trail: string
  /** A URL, or the file of a journal. */
  readonly store: string
  readonly lease: number
  /** Milliseconds that its stop may take. */
  readonly stop: number
  /** Two deploys: they have different tasks, and different rules for the same schedule. */
  readonly deploy: 'old' | 'new'
  readonly adds: boolean
}

const { name, trail, store, lease, stop, deploy, adds }: Part = JSON.parse(process.argv[2] ?? '')
const say = (what: string, more: object = {}): void => note(trail, { what, by: name, ...more })
const codeOf = (error: unknown): string => String((error as { code?: string }).code ?? error)
const some = (most: number): number => Math.floor(Math.random() * most)

const broker = /^\w+:\/\//.test(store)
  ? bullmqBroker({
      ...{ connection: store, lease, patience: 1500 },
      whenDown: some(2) === 0 ? 'buffer' : 'refuse',
    })
  : sqliteBroker({ file: store, shared: true })
const { rare, ...common } = tasks
const runtime = createRuntime({
  tasks: deploy === 'new' ? [...Object.values(common), rare] : Object.values(common),
  broker,
  pool: { threads: 1, concurrency: 8 },
  retention: { count: 1_000_000 },
  killGrace: 50,
  log: false,
})
const unheard = (): void => {}

let added = 0
function add(): void {
  const mark = `${name}.${added++}`
  const dice = Math.random()
  try {
    say('added', { mark })
    if (dice < 0.5) follow(mark, runtime.enqueue('short', { mark, ms: some(40) }))
    else if (dice < 0.55) follow(mark, runtime.enqueue('short', { mark, ms: 300 + some(2500) }))
    else if (dice < 0.7) {
      const key = `k${some(3)}`
      follow(mark, runtime.enqueue('keyed', { mark, ms: some(60), key }))
    } else if (dice < 0.8) follow(mark, runtime.enqueue('flaky', { mark, ms: some(40) }))
    else if (dice < 0.9) follow(mark, runtime.enqueue('short', { mark, ms: 5 }, { delay: 200 + some(2000) }))
    else if (dice < 0.95 && deploy === 'new') {
      follow(mark, runtime.enqueue('rare' as 'short', { mark, ms: some(40) }))
    } else {
      const job = runtime.enqueue('short', { mark, ms: 5, isHeedful: true }, { delay: 1000 })
      follow(mark, job)
      setTimeout(() => void cancel(mark, job), some(1500)).unref()
    }
  } catch (error) {
    say('refused', { mark, code: codeOf(error) })
  }
}

function follow(mark: string, job: Job): void {
  job.stored.then(
    () => say('stored', { mark }),
    (error: unknown) => say('unstored', { mark, code: codeOf(error) }),
  )
}

async function cancel(mark: string, job: Job): Promise<void> {
  say('cancelling', { mark })
  const isCancelled = await runtime.cancel(job.id).catch((error: unknown) => codeOf(error))
  if (isCancelled === true) say('cancelled', { mark })
}

function ask(): void {
  const answers = [runtime.counts(), runtime.jobs({ limit: 5 }), runtime.schedules()]
  for (const answer of answers) answer.catch((error: unknown) => say('unanswered', { code: codeOf(error) }))
}

function setSchedule(): void {
  try {
    runtime.schedule('tick', 'tick', undefined, { every: deploy === 'new' ? 400 : 700 })
  } catch (error) {
    say('refused', { code: codeOf(error) })
  }
}

// A process that stands still for lack of a processor is not the fault of what runs in it.
const BEAT = 100
let last = performance.now()
const beat = setInterval(() => {
  const still = performance.now() - last - BEAT
  if (still > 5 * BEAT) say('slow', { ms: Math.round(still) })
  last = performance.now()
}, BEAT).unref()

let timers: NodeJS.Timeout[] = []
const enough = (): void => {
  for (const timer of timers) clearInterval(timer)
  timers = []
}
process.on('SIGUSR2', () => {
  enough()
  setSchedule()
})
process.once('SIGTERM', () => void end())

async function end(): Promise<void> {
  say('stopping')
  enough()
  clearInterval(beat)
  // Whoever asks why a process is still there finds here what keeps it.
  const begun = performance.now()
  const look = setInterval(() => {
    const ms = Math.round(performance.now() - begun)
    if (ms > stop) say('lingers', { ms, kind: process.getActiveResourcesInfo().join(' ') })
  }, 500)
  look.unref()
  const { lost } = await runtime.stop({ timeout: stop })
  say('stopped', { lost: lost.length })
}

runtime.ready().then(
  () => say('ready'),
  (error: unknown) => say('not ready', { code: codeOf(error) }),
)
setSchedule()
if (adds) {
  timers = [
    setInterval(() => {
      for (let count = 1 + some(3); count > 0; count--) add()
    }, 400),
    setInterval(ask, 5000),
    setInterval(() => {
      if (some(4) > 0) return setSchedule()
      runtime.unschedule('tick').then(setSchedule, unheard)
    }, 5000),
  ]
}
