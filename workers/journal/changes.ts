/** Jobs that wait are changed: their payload, their rank, or when they may run. */
import {
  AVAILABLE,
  CHANGE,
  HELD,
  RETRYABLE,
  RUNNING,
  SCHEDULED,
  WAITING,
} from '../../src/rules/journal-protocol.ts'
import { type Change, factsOf, type KnownFacts } from './job-facts.ts'
import type { Jobs } from './jobs.ts'

/** Changes a job, and answers what came of that. */
export function changeJob(jobs: Jobs, n: number, change: Change): number {
  const { numbers, sql, transaction } = jobs
  const facts = factsOf(sql, numbers, n)
  if (facts === undefined || facts.state === RUNNING) return CHANGE.refused
  const isOurs = facts.owner === transaction.run
  if (facts.owner !== 0 && !isOurs) return CHANGE.refused
  if (isOurs && facts.state !== HELD && !change.isGranted) return CHANGE.granted
  // Another process, which took this one for dead, has let it go again.
  if (change.isGranted && !isOurs) return CHANGE.refused
  if (change.payload !== undefined) sql.setPayload.run(change.payload.encoded, n)
  const { due, priority } = change
  const isLater = due !== null && due > transaction.now
  const ranked = priority === null ? facts : reRank(jobs, n, facts, priority, !isLater)
  if (due !== null) setDue(jobs, n, ranked, due)
  return CHANGE.done
}

/** `isStaying`: it waits for a thread, and goes on to do so. */
function reRank(jobs: Jobs, n: number, facts: KnownFacts, priority: number, isStaying: boolean): KnownFacts {
  const { sql, transaction, windows } = jobs
  const rank = facts.rank + jobs.rankOf(0, priority) - jobs.rankOf(0, facts.priority)
  sql.setRank.run(priority, rank, n)
  if (facts.state === AVAILABLE && facts.owner === 0 && isStaying) {
    // It may go before what is granted.
    windows.unspill(facts.task)
    if (windows.admit(facts.task, rank)) {
      sql.take.get(transaction.run, n)
      transaction.toSend.push(n)
      transaction.isDueDirty = true
    }
  }
  return { ...facts, priority, rank }
}

function setDue(jobs: Jobs, n: number, facts: KnownFacts, due: number): void {
  const { sql, transaction, windows } = jobs
  const { state, after, line, key } = facts
  const isNow = due <= transaction.now
  if (state === HELD) return void sql.setHeldDue.run(due, n)
  if (state === SCHEDULED || state === RETRYABLE) {
    sql.setDue.run(due, n)
    transaction.isDueDirty = true
    return isNow ? jobs.advance(n) : undefined
  }
  // What waits for a job of its batch, or for the one that it is equal to, has its time once that is over.
  if (state === WAITING && (after !== null || line === null)) return void sql.setDue.run(due, n)
  if (isNow) return
  if (state === AVAILABLE) {
    if (facts.owner === 0) windows.unspill(facts.task)
    else windows.leave(facts.task)
  }
  sql.place.run(SCHEDULED, 0, null, facts.rank, transaction.now, due, null, n)
  transaction.count(state, SCHEDULED)
  transaction.isDueDirty = true
  transaction.reply.moved.push(jobs.seqOf(n), SCHEDULED)
  const next = key === null ? undefined : jobs.lines.leave(n, key)
  if (next !== undefined) jobs.advance(next)
}
