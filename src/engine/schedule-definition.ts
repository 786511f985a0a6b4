/** What a schedule is made of, as plain data: compared, kept by brokers, and shown. */
import type { StoredSchedule } from '../brokers/port/schedules.ts'
import type { Encoded } from '../rules/codec.ts'
import type { ScheduleRule } from './schedule-times.ts'

/** A schedule at one moment: plain data. */
export interface ScheduleInfo {
  readonly id: string
  /** The task's name. */
  readonly task: string
  /** The next run, in milliseconds since 1970; Infinity when its pattern has no further one. */
  readonly nextAt: number
  readonly cron?: string
  readonly timeZone?: string
  readonly every?: number
  readonly missed: 'once' | 'all' | 'skip'
  /** True while its runs are not made: it was paused, here or by another process, and outlives a restart as that. */
  readonly paused: boolean
  /** False when only the broker knows of it: an earlier process, or another one, has set it. */
  readonly setHere: boolean
  /** False when this runtime does not have its task. */
  readonly hasTask: boolean
}

/** A schedule, and when it is next due. */
export interface Schedule {
  readonly id: string
  readonly task: string
  readonly payload: Encoded
  readonly rule: ScheduleRule
  nextAt: number
  isPaused: boolean
}

interface Kept {
  readonly task: string
  readonly payload: string | null | { readonly base64: string }
  readonly rule: ScheduleRule
  readonly paused?: true
}

/** The facts of a schedule. */
export function infoOf(
  { id, task, rule, nextAt, isPaused }: Schedule,
  here: Pick<ScheduleInfo, 'setHere' | 'hasTask'>,
): ScheduleInfo {
  return { id, task, nextAt, ...rule, paused: isPaused, ...here }
}

/** True when two schedules say the same, whether they are paused or not: that is nothing that the code says. */
export function isSameSchedule(one: Schedule, other: Schedule): boolean {
  return definitionOf({ ...one, isPaused: false }) === definitionOf({ ...other, isPaused: false })
}

/** What a schedule says, without when it is next due. One that is paused has another definition: nobody takes a run of it. */
export function definitionOf({ task, payload, rule, isPaused }: Schedule): string {
  const kept =
    payload instanceof Uint8Array ? { base64: Buffer.from(payload).toString('base64') } : (payload ?? null)
  return JSON.stringify({ task, payload: kept, rule, ...(isPaused && { paused: true }) })
}

/** A schedule as a broker keeps it. */
export function toStored(schedule: Schedule): StoredSchedule {
  return { id: schedule.id, definition: definitionOf(schedule), nextAt: schedule.nextAt }
}

/** A schedule that a broker has kept. */
export function fromStored({ id, definition, nextAt }: StoredSchedule): Schedule {
  const { task, payload, rule, paused } = JSON.parse(definition) as Kept
  const encoded =
    typeof payload === 'object' && payload !== null
      ? Buffer.from(payload.base64, 'base64')
      : (payload ?? undefined)
  return { id, task, payload: encoded, rule, nextAt, isPaused: paused === true }
}
