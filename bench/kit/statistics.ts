/** Medians, quartiles and percentiles. */

/** What is left of many samples: the median, the quartiles, and how many there were. */
export interface Spread {
  readonly median: number
  readonly low: number
  readonly high: number
  readonly samples: number
}

/** The value that a share of the samples does not exceed, interpolated. `share` is from 0 to 1. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b)
  const at = (sorted.length - 1) * share
  const below = sorted[Math.floor(at)] ?? Number.NaN
  const above = sorted[Math.ceil(at)] ?? Number.NaN
  return below + (above - below) * (at - Math.floor(at))
}

/** The median of some samples. */
export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5)
}

/** The median with its quartiles. */
export function spread(samples: readonly number[]): Spread {
  return {
    median: median(samples),
    low: quantile(samples, 0.25),
    high: quantile(samples, 0.75),
    samples: samples.length,
  }
}
