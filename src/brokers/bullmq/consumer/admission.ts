/** Admission: whether a job that was fetched may run here, by what is known of it. Nothing here asks or changes anything. */
import { BATCH_FAILED } from '../../../rules/journal-protocol.ts'
import type { TaskPolicy } from '../../../rules/task.ts'
import { ProcessExitedError, QueueTimeoutError } from '../../../words/errors.ts'
import type { Ended } from '../../port/broker.ts'
import { lockOfKey, type Place } from '../store/shared-store.ts'
import type { StoredData } from '../store/stored-job.ts'

/** What is known of a job that was fetched. */
export interface Candidate {
  readonly task: { readonly name: string; readonly policy: Pick<TaskPolicy, 'onCrash' | 'maxCrashes'> }
  readonly data: Pick<StoredData, 'a' | 'd' | 'q' | 'key'>
  /** The lock of its batch. */
  readonly line: string | undefined
  /** Attempts and crashes on record, the last crash included. */
  readonly attempts: number
  readonly crashes: number
  /** How often a lease of it has run out. */
  readonly stalls: number
  /** The process that ran it last died meanwhile. */
  readonly hasCrashed: boolean
}

/** What is known of everything else. */
export interface Surroundings {
  /** Milliseconds since 1970. */
  readonly wall: number
  /** Places at the locks that were joined so far. */
  readonly places: ReadonlyMap<string, Place>
  /** Milliseconds after which a job that waits for another looks again. */
  readonly recheck: number
}

/** What is to be done with a job that was fetched. */
export type Decision =
  /** It runs. A suspect runs alone among its kind; `recordStart`: what may end its process is written down before. */
  | { readonly do: 'run'; readonly isSuspect: boolean; readonly recordStart: boolean }
  | { readonly do: 'end'; readonly ended: Ended }
  /** It has to join a lock first; then this is asked again. */
  | { readonly do: 'join'; readonly lock: string }
  /** It waits in the store; `behind`: for the lock, so that it has to be called. */
  | { readonly do: 'postpone'; readonly delay: number; readonly behind: string | undefined }

const RUN: Decision = { do: 'run', isSuspect: false, recordStart: false }
const RUN_RECORDED: Decision = { do: 'run', isSuspect: false, recordStart: true }
const RUN_AS_SUSPECT: Decision = { do: 'run', isSuspect: true, recordStart: true }

/** Everything that can keep a fetched job from running, in the order in which it counts. */
export function decide(candidate: Candidate, surroundings: Surroundings): Decision {
  const { task, crashes, stalls } = candidate
  const reason = endOf(candidate, surroundings) ?? waitOf(candidate, surroundings)
  if (reason !== undefined) return reason
  if (stalls > 0 || crashes > 0) return RUN_AS_SUSPECT
  return task.policy.onCrash === 'fail' ? RUN_RECORDED : RUN
}

/** Why it is over before it starts. */
function endOf(
  { task, data, attempts, crashes, hasCrashed }: Candidate,
  { wall }: Surroundings,
): Decision | undefined {
  const { onCrash, maxCrashes } = task.policy
  if (hasCrashed && (onCrash === 'fail' || crashes >= maxCrashes)) {
    return { do: 'end', ended: { state: 'dead', error: new ProcessExitedError(task.name) } }
  }
  if (data.q === undefined || attempts > 0 || wall <= data.q) return undefined
  return { do: 'end', ended: { state: 'dead', error: new QueueTimeoutError(task.name, data.q - data.a) } }
}

/** What it waits for: the job before it in its batch, its time, the job before it of its key. */
function waitOf(
  { data, line, attempts }: Candidate,
  { wall, places, recheck }: Surroundings,
): Decision | undefined {
  if (line !== undefined) {
    const place = places.get(line)
    if (place === undefined) return { do: 'join', lock: line }
    if (place.isStopped) return { do: 'end', ended: { state: 'skipped', reason: BATCH_FAILED } }
    if (!place.isFirst) return { do: 'postpone', delay: recheck, behind: line }
    // Whoever called it did not know when it is due.
    const early = (data.d ?? 0) - wall
    if (early > 0 && attempts === 0) return { do: 'postpone', delay: early, behind: undefined }
  }
  if (data.key === undefined) return undefined
  const lock = lockOfKey(data.key)
  const place = places.get(lock)
  if (place === undefined) return { do: 'join', lock }
  return place.isFirst ? undefined : { do: 'postpone', delay: recheck, behind: lock }
}
