/** The metrics of a runtime under their Prometheus names, in base units. */
import type { AnyRuntime } from '../../engine/runtime.ts'
import type { RuntimeMetrics } from '../../engine/runtime-metrics.ts'
import type { JobState } from '../../words/job.ts'

type TaskCounts = RuntimeMetrics['tasks'][string]

/** The labels of one sample. */
export type Labels = Readonly<Record<string, string>>

/** One number of a family. `suffix` is what the text format adds to the name: of a histogram's parts alone. */
export interface Sample {
  readonly suffix?: '_bucket' | '_sum' | '_count'
  readonly labels: Labels
  readonly value: number
}

/** A metric with all its samples. The name of a counter has no `_total` here: the writers add it where it belongs. */
export interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly samples: readonly Sample[]
}

/** What a scrape shows: the runtime's own numbers, and the broker's counts where they could be had. */
export interface Reading {
  readonly metrics: RuntimeMetrics
  readonly counts: Readonly<Record<JobState, number>> | undefined
  /** Next runs by schedule id, in milliseconds since 1970. */
  readonly schedules: readonly { readonly id: string; readonly nextAt: number }[] | undefined
}

/** Reads a runtime for one scrape. A broker that cannot be reached costs the counts, and not the scrape. */
export async function read(runtime: AnyRuntime): Promise<Reading> {
  const orNothing = <Value>(asked: Promise<Value>): Promise<Value | undefined> => asked.catch(() => undefined)
  const [counts, schedules] = await Promise.all([orNothing(runtime.counts()), orNothing(runtime.schedules())])
  return {
    metrics: runtime.metrics(),
    counts,
    schedules: schedules?.map(({ id, nextAt }) => ({ id, nextAt })),
  }
}

/** Every family of a reading. Label sets that are known from the start begin at 0, so that `rate()` sees the first failure. */
export function familiesOf(reading: Reading): Family[] {
  return [
    ...ofRuntime(reading.metrics),
    ...ofTasks(reading.metrics),
    ...ofPools(reading.metrics),
    ...ofBroker(reading),
  ]
}

function ofRuntime({ since, pending, maxPending, refused }: RuntimeMetrics): Family[] {
  const known = { ERR_QUEUE_FULL: 0, ERR_PAYLOAD_INVALID: 0 }
  return [
    gauge('start_time_seconds', 'When the runtime was created, in seconds since 1970.', [
      plain(since / 1000),
    ]),
    gauge('pending', 'Accepted, unfinished jobs of this process.', [plain(pending)]),
    gauge('pending_max', 'Jobs that may be pending before calls are refused.', [plain(maxPending)]),
    counter(
      'refused',
      'Calls that were refused, by the code of their error.',
      byLabel('code', { ...known, ...refused }),
    ),
  ]
}

function ofTasks({ tasks }: RuntimeMetrics): Family[] {
  const perTask = Object.entries(tasks)
  const each = (value: (counted: TaskCounts) => number): Sample[] =>
    perTask.map(([task, counted]) => ({ labels: { task }, value: value(counted) }))
  const durations = (kind: 'wait' | 'run' | 'total'): Sample[] =>
    perTask.flatMap(([task, counted]) => ofHistogram(task, counted[kind]))
  const ended = perTask.flatMap(([task, counted]) => byLabel('state', counted.ended, { task }))
  const attempts = perTask.flatMap(([task, counted]) => byLabel('outcome', counted.attempts, { task }))
  const bytes = 'Bytes of the payloads of accepted jobs, as they are encoded.'
  const cpu = 'CPU time of attempts, where the broker has it measured.'
  const wait = 'From when a job could run until an attempt started.'
  return [
    counter(
      'jobs_enqueued',
      'Jobs that this process accepted.',
      each((counted) => counted.enqueued),
    ),
    counter(
      'payload_bytes',
      bytes,
      each((counted) => counted.payloadBytes),
    ),
    counter('jobs_ended', 'Jobs that ended, by how.', ended),
    counter('attempts', 'Attempts that ended in this process, by how.', attempts),
    histogram('job_wait_seconds', wait, durations('wait')),
    histogram('job_run_seconds', 'How long attempts ran.', durations('run')),
    histogram('job_total_seconds', 'From the acceptance of a job to its end.', durations('total')),
    counter(
      'job_cpu_seconds',
      cpu,
      each((counted) => counted.cpu / 1000),
    ),
  ]
}

function ofPools({ pools }: RuntimeMetrics): Family[] {
  const perPool = Object.entries(pools)
  const sizes = perPool.flatMap(([pool, { threads, busy, max }]) =>
    byLabel('kind', { up: threads, busy, max }, { pool }),
  )
  const starts = perPool.map(([pool, { started }]) => ({ labels: { pool }, value: started }))
  const exits = perPool.flatMap(([pool, { retired, died }]) =>
    byLabel('expected', { true: retired, false: died }, { pool }),
  )
  return [
    gauge('threads', 'Threads: up, with a job, and the most there can be.', sizes),
    counter('thread_starts', 'Threads that have started.', starts),
    counter('thread_exits', 'Threads that have ended: told to, or by themselves.', exits),
  ]
}

function ofBroker({ metrics: { broker }, counts, schedules = [] }: Reading): Family[] {
  const families: Family[] = []
  if (counts !== undefined) {
    const help = 'Jobs by state, across the broker: take max() over the processes that share one.'
    families.push(gauge('jobs', help, byLabel('state', counts)))
  }
  if (broker !== undefined) {
    const up = broker.state === 'up' ? 1 : 0
    families.push(
      gauge('broker_up', '1 while the broker can be reached.', [plain(up)]),
      gauge('broker_buffered', 'Accepted jobs that the broker does not hold yet.', [plain(broker.buffered)]),
    )
  }
  if (schedules.length > 0) {
    const next = schedules.map(({ id, nextAt }) => ({ labels: { schedule: id }, value: nextAt / 1000 }))
    families.push(gauge('schedule_next_run_timestamp_seconds', 'The next run of each schedule.', next))
  }
  return families
}

function gauge(name: string, help: string, samples: readonly Sample[]): Family {
  return { name: `aftertask_${name}`, type: 'gauge', help, samples }
}

function counter(name: string, help: string, samples: readonly Sample[]): Family {
  return { name: `aftertask_${name}`, type: 'counter', help, samples }
}

function histogram(name: string, help: string, samples: readonly Sample[]): Family {
  return { name: `aftertask_${name}`, type: 'histogram', help, samples }
}

function plain(value: number): Sample {
  return { labels: {}, value }
}

function byLabel(label: string, values: Readonly<Record<string, number>>, others: Labels = {}): Sample[] {
  return Object.entries(values).map(([key, value]) => ({ labels: { ...others, [label]: key }, value }))
}

function ofHistogram(task: string, { count, sum, buckets }: TaskCounts['run']): Sample[] {
  return [
    ...buckets.map((bucket) => ({
      suffix: '_bucket' as const,
      labels: { task, le: String(bucket.le / 1000) },
      value: bucket.count,
    })),
    { suffix: '_bucket', labels: { task, le: '+Inf' }, value: count },
    { suffix: '_sum', labels: { task }, value: sum / 1000 },
    { suffix: '_count', labels: { task }, value: count },
  ]
}
