/** The AbortSignals that calls gave, each with one listener however many jobs it is for. */
import { memberOf } from '../words/describe.ts'

interface Followed<Follower> {
  readonly followers: Set<Follower>
  readonly listener: () => void
}

/**
 * Tells followers that their signal has aborted. Node walks all listeners of a signal for each that is added or taken
 * off, so one for each job would make many jobs on one signal quadratic.
 */
export class Signals<Follower> {
  readonly #followed = new WeakMap<AbortSignal, Followed<Follower>>()
  readonly #aborted: (follower: Follower, reason: unknown) => void

  constructor(aborted: (follower: Follower, reason: unknown) => void) {
    this.#aborted = aborted
  }

  /** Tells the follower once when the signal aborts, unless it is forgotten before. The signal has not aborted yet. */
  follow(signal: AbortSignal, follower: Follower): void {
    const known = this.#followed.get(signal)
    if (known !== undefined) return void known.followers.add(follower)
    const followers = new Set([follower])
    const listener = (): void => {
      this.#followed.delete(signal)
      // Who is told may end others, which then are not told any more.
      const reason = memberOf(signal, 'reason')
      for (const each of followers) this.#aborted(each, reason)
      followers.clear()
    }
    try {
      signal.addEventListener('abort', listener, { once: true })
    } catch {
      // A signal of the caller's own making, for a job that has been accepted: it cancels nothing.
      return
    }
    this.#followed.set(signal, { followers, listener })
  }

  /** The follower is over: the signal holds nothing of it any more. */
  forget(signal: AbortSignal, follower: Follower): void {
    const known = this.#followed.get(signal)
    if (known === undefined || !known.followers.delete(follower) || known.followers.size > 0) return
    this.#followed.delete(signal)
    try {
      signal.removeEventListener('abort', known.listener)
    } catch {
      // As above: the job has its end all the same.
    }
  }
}
