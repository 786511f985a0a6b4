/** Admission: whether a job that was fetched may run here, by what is known of it. Nothing here asks or changes anything. */
import { BATCH_FAILED } from '../../../rules/journal-protocol.ts'
import type { TaskPolicy } from '../../../rules/task.ts'
import { ProcessExitedError, QueueTimeoutError } from '../../../words/errors.ts'
import type { Ending } from '../../port/attempt.ts'
import { type Admitted, locksOf } from '../store/shared-store.ts'
import type { StoredData } from '../store/stored-job.ts'

/** What is known of a job that was fetched. */
export interface Candidate {
  readonly task: { readonly name: string; readonly policy: Pick<TaskPolicy, 'onCrash' | 'maxCrashes'> }
  readonly data: Pick<StoredData, 'a' | 'd' | 'q' | 'key'>
  /** The lock of its batch. */
  readonly line: string | undefined
  /** How it stands in its locks, once it has been taken to them; who is behind is not with this process any more. */
  readonly place: Exclude<Admitted, 'behind'> | undefined
  /** How many locks it has been taken to. Its time may have come meanwhile, and with that its turn to join another. */
  readonly admitted: number
  /** Attempts and crashes on record, the last crash included. */
  readonly attempts: number
  readonly crashes: number
  /** How often a lease of it has run out. */
  readonly stalls: number
  /** The process that ran it last died meanwhile. */
  readonly hasCrashed: boolean
}

/** What is to be done with a job that was fetched. */
export type Decision =
  /** It runs. A suspect runs alone among its kind; `recordStart`: what may end its process is written down before. */
  | { readonly do: 'run'; readonly isSuspect: boolean; readonly recordStart: boolean }
  | { readonly do: 'end'; readonly ended: Ending }
  /** It has to be first in these locks; then this is asked again. */
  | { readonly do: 'admit'; readonly locks: readonly string[] }
  /** It waits in the store for its time. */
  | { readonly do: 'postpone'; readonly delay: number }

const RUN: Decision = { do: 'run', isSuspect: false, recordStart: false }
const RUN_RECORDED: Decision = { do: 'run', isSuspect: false, recordStart: true }
const RUN_AS_SUSPECT: Decision = { do: 'run', isSuspect: true, recordStart: true }

/** Everything that can keep a fetched job from running, in the order in which it counts. `wall`: milliseconds since 1970. */
export function decide(candidate: Candidate, wall: number): Decision {
  const { task, crashes, stalls } = candidate
  const reason = endOf(candidate, wall) ?? waitOf(candidate, wall)
  if (reason !== undefined) return reason
  if (stalls > 0 || crashes > 0) return RUN_AS_SUSPECT
  return task.policy.onCrash === 'fail' ? RUN_RECORDED : RUN
}

/** Why it is over before it starts. */
function endOf(
  { task, data, attempts, crashes, hasCrashed, place }: Candidate,
  wall: number,
): Decision | undefined {
  const { onCrash, maxCrashes } = task.policy
  if (hasCrashed && (onCrash === 'fail' || crashes >= maxCrashes)) {
    return { do: 'end', ended: { state: 'dead', error: new ProcessExitedError(task.name) } }
  }
  if (data.q !== undefined && attempts === 0 && wall > data.q) {
    return { do: 'end', ended: { state: 'dead', error: new QueueTimeoutError(task.name, data.q - data.a) } }
  }
  return place === 'stopped' ? { do: 'end', ended: { state: 'skipped', reason: BATCH_FAILED } } : undefined
}

/** What it waits for: the job before it in its batch, its time, the job before it of its key. */
function waitOf({ data, line, attempts, admitted }: Candidate, wall: number): Decision | undefined {
  // Whoever called a job of a batch did not know when it is due.
  const early = line === undefined || attempts > 0 ? 0 : (data.d ?? 0) - wall
  const locks = locksOf(early > 0 ? {} : data, line)
  if (locks.length > admitted) return { do: 'admit', locks }
  return early > 0 ? { do: 'postpone', delay: early } : undefined
}
