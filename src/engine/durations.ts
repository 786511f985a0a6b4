/** Histograms of durations: what a mean hides, and what several processes can add up. */

/** The upper bounds of the buckets, in milliseconds. What is longer than the last is in no bucket but in the count. */
const BOUNDS = [
  1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 1_800_000,
]

/** How many numbers a histogram takes: its sum, a count for each bucket, and one for what is longer. */
export const HISTOGRAM_WIDTH = BOUNDS.length + 2

/** Durations of one kind of one task: plain data. */
export interface Histogram {
  /** How many were measured. */
  readonly count: number
  /** Milliseconds, all together. */
  readonly sum: number
  /** How many took at most so many milliseconds, by bound: each bucket holds those before it as well. */
  readonly buckets: readonly { readonly le: number; readonly count: number }[]
}

/** Counts a duration in the histogram that begins at `at`. What clocks of two threads make negative counts as 0. */
export function addDuration(numbers: Float64Array, at: number, milliseconds: number): void {
  let place = at + 1
  if (milliseconds > 1) {
    for (let bucket = 0; bucket < BOUNDS.length && milliseconds > (BOUNDS[bucket] as number); bucket++)
      place++
  }
  ;(numbers[place] as number)++
  if (milliseconds > 0) (numbers[at] as number) += milliseconds
}

/** Reads the histogram that begins at `at`. */
export function histogramAt(numbers: Float64Array, at: number): Histogram {
  let count = 0
  const buckets = BOUNDS.map((le, bucket) => {
    count += numbers[at + 1 + bucket] as number
    return { le, count }
  })
  count += numbers[at + 1 + BOUNDS.length] as number
  return { count, sum: numbers[at] as number, buckets }
}
