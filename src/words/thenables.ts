/** Promises, and what passes for one: what a function of the caller's own may return where nobody waits for it. */

/** True for a promise of any realm or library. What asking it throws counts as no. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  try {
    return typeof Reflect.get(value, 'then') === 'function'
  } catch {
    return false
  }
}

/** Sees to it that a promise which nobody waits for ends no process when it rejects. */
export function ignoreRejection(promise: PromiseLike<unknown>): void {
  hearRejection(promise, () => {})
}

/** Tells why a promise which nobody waits for rejects. */
export function hearRejection(promise: PromiseLike<unknown>, rejected: (error: unknown) => void): void {
  try {
    promise.then(undefined, rejected)
  } catch (error) {
    // A promise of somebody's own making may throw at once.
    rejected(error)
  }
}
