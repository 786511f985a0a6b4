/** What the store refuses for good, in the codes of BullMQ. */

// No such job, no lock, not in that state, somebody else's lock.
const NO_LOCK = -2
const OTHERS_LOCK = -6
const REFUSALS: ReadonlySet<number | undefined> = new Set([-1, NO_LOCK, -3, OTHERS_LOCK])

/** True when the store has refused a write for good: another process has the job, or nobody does. */
export function isRefusal(error: unknown): boolean {
  return REFUSALS.has(codeOf(error))
}

/** True when nobody has the job, as far as the store knows: the lease has run out, or the job is not a running one. */
export function hasLapsed(error: unknown): boolean {
  return codeOf(error) === NO_LOCK
}

/** The job does not belong to whoever wants to write, in the way in which BullMQ says it. */
export function refusalOf(id: string): Error {
  return faultOf(id, OTHERS_LOCK)
}

/** A code of BullMQ's as an error. */
export function faultOf(id: string, code: number): Error {
  const what = `The store refuses a write for the job ${id} (code ${code}): it belongs to another process, or to none.`
  return Object.assign(new Error(what), { code })
}

/** The code of a fault that BullMQ has named. */
export function codeOf(error: unknown): number | undefined {
  const code: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, 'code') : undefined
  return typeof code === 'number' ? code : undefined
}
