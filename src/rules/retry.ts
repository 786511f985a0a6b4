/** Retries: when a failed job is tried again. */

/** How long to wait between attempts. */
export interface Backoff {
  /** `exponential`: doubles with each failure; `fixed`: always `delay`. Default `exponential`. */
  type: 'exponential' | 'fixed'
  /** Milliseconds before the second attempt. Default 1,000. */
  delay: number
  /** The longest wait in milliseconds. Default 60,000. */
  max: number
  /**
   * Spreads retries so that jobs which failed together do not come back together. `true` (default): anything from 0
   * to the full delay ("full jitter", from the AWS Architecture Blog, 2015); a number from 0 to 1: that share of the
   * delay is random; `false`: none.
   */
  jitter: boolean | number
}

/** A retry policy with every default filled in. */
export interface RetryPolicy {
  readonly maxAttempts: number
  readonly backoff: Readonly<Backoff>
}

const DEFAULT_BACKOFF: Backoff = { type: 'exponential', delay: 1000, max: 60_000, jitter: true }

/** Retries are off unless asked for. */
export const NO_RETRY: RetryPolicy = Object.freeze({ maxAttempts: 1, backoff: DEFAULT_BACKOFF })

/** Fills in the defaults of a policy. Asking for a backoff alone asks for three attempts. */
export function retryPolicy(given: {
  maxAttempts?: number | undefined
  backoff?: { [K in keyof Backoff]?: Backoff[K] | undefined } | undefined
}): RetryPolicy {
  const { type, delay, max, jitter } = given.backoff ?? {}
  return {
    maxAttempts: given.maxAttempts ?? 3,
    backoff: {
      type: type ?? DEFAULT_BACKOFF.type,
      delay: delay ?? DEFAULT_BACKOFF.delay,
      max: max ?? DEFAULT_BACKOFF.max,
      jitter: jitter ?? DEFAULT_BACKOFF.jitter,
    },
  }
}

/** Milliseconds to wait after the `failures`-th failure (counted from 1). `random` gives a number in [0, 1). */
export function backoffDelay(backoff: Readonly<Backoff>, failures: number, random: () => number): number {
  // The exponent is bounded so that the thousandth failure does not overflow to Infinity before `max` cuts it.
  const grown = backoff.type === 'fixed' ? backoff.delay : backoff.delay * 2 ** Math.min(failures - 1, 52)
  const full = Math.min(grown, backoff.max)
  const share = backoff.jitter === true ? 1 : backoff.jitter === false ? 0 : backoff.jitter
  return Math.round(full * (1 - share) + full * share * random())
}
