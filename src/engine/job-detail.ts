/** What a page about one job tells beside its facts: what it was given, its story, who is with it, and why it waits. */
import { read } from '../rules/codec.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { Moved, sizeOf } from '../rules/moved.ts'
import { isStranger } from '../rules/stranger.ts'
import {
  type AttemptInfo,
  isTerminal,
  type JobInfo,
  type TimelineEntry,
  UNFINISHED_STATES,
} from '../words/job.ts'
import type { Engine } from './engine.ts'
import { infoOf } from './job.ts'

/** What of a job is asked for beside its facts. */
export interface DetailOptions {
  /** What it was given. */
  readonly payload: boolean
  /** Its timeline, its neighbours of key and batch, and why it waits. */
  readonly detail: boolean
  readonly reveal: boolean
  /** Bytes above which a payload, a result or a progress is left out and named in `cut`. */
  readonly most: number
}

type AskedOf = Pick<Engine, 'broker' | 'jobs' | 'clock' | 'redaction' | 'scheduler' | 'pools' | 'holds'>

/** Jobs of a key or a batch that are told of. */
const MOST_NEIGHBOURS = 20

/** The facts of a job and what is asked for beside them. */
export async function detailOf(
  engine: AskedOf,
  record: JobRecord,
  history: readonly AttemptInfo[],
  { payload, detail, reveal, most }: DetailOptions,
): Promise<Partial<JobInfo>> {
  const info: { -readonly [Key in keyof JobInfo]?: JobInfo[Key] } = {}
  const cut = cutOf(record, payload, most)
  if (payload && record.payload !== undefined && cut.payload === undefined) {
    const value = readable(record.payload)
    info.payload = reveal ? value : engine.redaction.value(record, value)
  }
  if (cut.result !== undefined) info.result = undefined
  if (cut.progress !== undefined) info.progress = undefined
  if (Object.keys(cut).length > 0) info.cut = cut
  if (!detail) return info
  const [sameKey, sameBatch] = await Promise.all([
    keyNeighbours(engine, record),
    batchNeighbours(engine, record),
  ])
  const waits = await whyItWaits(engine, record, sameKey, sameBatch)
  if (waits !== undefined) info.waits = reveal ? waits : engine.redaction.text(record, waits)
  info.timeline = timelineOf(engine, record, history)
  const brief = (jobs: readonly JobRecord[]): JobInfo[] => jobs.map((job) => infoOf(job, engine.jobs))
  info.neighbours = {
    ...(sameKey.length > 0 && { key: brief(sameKey) }),
    ...(sameBatch.length > 0 && { batch: brief(sameBatch) }),
  }
  return info
}

function cutOf(
  { payload, result, extras }: JobRecord,
  hasPayload: boolean,
  most: number,
): { payload?: number; result?: number; progress?: number } {
  const sizes = {
    payload: hasPayload ? sizeOf(payload) : 0,
    result: sizeOf(result),
    progress: sizeOf(extras?.progress),
  }
  return Object.fromEntries(Object.entries(sizes).filter(([, bytes]) => bytes > most))
}

function readable(payload: JobRecord['payload']): unknown {
  try {
    return payload instanceof Moved ? payload.copy('the payload') : read(payload, 'the payload')
  } catch (unreadable) {
    return unreadable
  }
}

/** The unfinished jobs of its key, oldest first, without it. */
async function keyNeighbours(
  { broker, jobs: control }: AskedOf,
  record: JobRecord,
): Promise<readonly JobRecord[]> {
  const key = record.extras?.key
  if (key === undefined) return []
  const { jobs } = await broker.jobs.search({
    ...{ key, states: UNFINISHED_STATES, order: 'oldest', limit: MOST_NEIGHBOURS + 1, budget: 0 },
  })
  const id = control.idOf(record)
  return jobs.filter((job) => control.idOf(job) !== id).slice(0, MOST_NEIGHBOURS)
}

/** The jobs of its batch, oldest first, without it. */
async function batchNeighbours(
  { broker, jobs: control }: AskedOf,
  record: JobRecord,
): Promise<readonly JobRecord[]> {
  const id = control.idOf(record)
  const { jobs } = await broker.jobs.search({
    ...{ batch: id, order: 'oldest', limit: MOST_NEIGHBOURS + 1, budget: 0 },
  })
  return jobs.filter((job) => control.idOf(job) !== id).slice(0, MOST_NEIGHBOURS)
}

/** Why a job does not run, in words; undefined for one that runs or is over. */
async function whyItWaits(
  engine: AskedOf,
  record: JobRecord,
  sameKey: readonly JobRecord[],
  sameBatch: readonly JobRecord[],
): Promise<string | undefined> {
  const { jobs, clock } = engine
  const { extras } = record
  switch (jobs.stateOf(record)) {
    case 'held':
      return 'the response of its request is not over'
    case 'waiting': {
      const before =
        extras?.before ?? sameBatch.findLast((job) => isBefore(job, record) && !isTerminal(job.state))
      if (before !== undefined) return `job ${jobs.idOf(before)} of its batch goes first and is not over`
      const holder = sameKey.find((job) => jobs.stateOf(job) !== 'waiting' && jobs.stateOf(job) !== 'held')
      if (extras?.key === undefined) return 'a job of its batch goes first'
      const by =
        holder === undefined ? 'an earlier job' : `job ${jobs.idOf(holder)}, which is ${jobs.stateOf(holder)}`
      return `its key \`${extras.key}\` is held by ${by}`
    }
    case 'scheduled':
      return dueIn('it is due', extras?.dueAt, clock.now())
    case 'retryable':
      return dueIn(`attempt ${record.attempts + 1} is due`, extras?.dueAt, clock.now())
    case 'available':
      return whyNoThread(engine, record)
    default:
      return undefined
  }
}

function isBefore(one: JobRecord, other: JobRecord): boolean {
  return one.acceptedAt < other.acceptedAt || (one.acceptedAt === other.acceptedAt && one.seq < other.seq)
}

function dueIn(what: string, dueAt: number | undefined, now: number): string {
  if (dueAt === undefined || dueAt <= now) return `${what} soon`
  const seconds = (dueAt - now) / 1000
  if (seconds < 1) return `${what} in ${Math.ceil(dueAt - now)} ms`
  if (seconds < 120) return `${what} in ${Math.round(seconds)} s`
  return seconds < 7200
    ? `${what} in ${Math.round(seconds / 60)} min`
    : `${what} in ${Math.round(seconds / 3600)} h`
}

async function whyNoThread(engine: AskedOf, { entry }: JobRecord): Promise<string> {
  const { broker, scheduler, pools, holds } = engine
  const { name, policy } = entry.task
  if (isStranger(entry)) return `this process does not have its task "${name}"`
  if (broker.durability?.stats().state === 'down') return 'the broker cannot be reached'
  if (scheduler.isPaused(policy.pool)) return `pool \`${policy.pool}\` is paused`
  if (!pools.byName.has(policy.pool)) return `this process runs no jobs of pool \`${policy.pool}\``
  const tally = (await broker.jobs.tally()).find(({ task }) => task === name)
  const running = tally?.states.running ?? 0
  if (running >= policy.concurrency) return `${running} of ${policy.concurrency} of its task are running`
  if (holds.isHeld(entry)) return 'its task is held back, since its jobs keep ending threads'
  let busy = 0
  for (const lane of pools.byName.get(policy.pool)?.lanes ?? []) busy += lane.inFlight.size
  const ahead = (tally?.states.available ?? 1) - 1
  return busy === 0
    ? 'it is about to start'
    : `the threads of pool \`${policy.pool}\` are busy with ${busy} jobs; ${ahead} more of its task wait`
}

/** What has happened to a job, in the order in which it did. */
function timelineOf(
  { jobs, pools }: AskedOf,
  record: JobRecord,
  history: readonly AttemptInfo[],
): TimelineEntry[] {
  const entries: TimelineEntry[] = [{ what: 'accepted', at: jobs.wallTime(record.acceptedAt) }]
  const { extras, state } = record
  if (extras?.dueAt !== undefined) entries.push({ what: 'due', at: jobs.wallTime(extras.dueAt) })
  for (const { attempt, outcome, startedAt, endedAt, thread, cpu } of history) {
    const at = startedAt ?? endedAt
    if (at === undefined) continue
    entries.push({
      ...{ what: 'attempt', at, attempt, outcome },
      ...(endedAt !== undefined && { until: endedAt }),
      ...(thread !== undefined && { thread }),
      ...(cpu !== undefined && { cpu }),
    })
  }
  const current = jobs.stateOf(record)
  if (current === 'available' || current === 'running')
    entries.push({ what: 'ready', at: jobs.wallTime(record.readyAt) })
  const startedAt = current === 'running' ? pools.laneOf(record)?.startedAt(record) : undefined
  if (startedAt !== undefined) {
    entries.push({ what: 'attempt', at: jobs.wallTime(startedAt), attempt: record.attempts })
  }
  entries.sort((one, other) => one.at - other.at)
  if (isTerminal(state)) {
    // The two clocks round their times apart.
    const latest = Math.max(
      ...entries.filter(({ what }) => what !== 'due').map(({ at, until }) => until ?? at),
    )
    entries.push({ what: 'ended', at: Math.max(latest, jobs.wallTime(record.readyAt)), state })
  }
  return entries
}
