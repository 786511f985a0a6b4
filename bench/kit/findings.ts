/** What a row of the benchmark finds out: figures, each against its bar where it has one, and what to say about them. */
import type { Spread } from './statistics.ts'

/** What a figure has to reach, and what it should. */
export interface Bar {
  readonly atLeast?: number
  readonly atMost?: number
  readonly aim?: number
}

/** One measured quantity of one contestant. */
export interface Figure extends Spread {
  /** The quantity, such as `requests kept`. */
  readonly what: string
  /** Whose it is, such as `aftertask`. */
  readonly of: string
  /** `x` for a ratio, or the unit. */
  readonly unit: string
  readonly bar?: Bar
}

/** A table of words and numbers for what is no figure with a spread. */
export interface Grid {
  readonly title: string
  readonly head: readonly string[]
  readonly lines: readonly (readonly string[])[]
}

/** A plot of some of the figures: one bar for each contestant, with its quartiles. */
export interface Chart {
  /** The quantity that it shows: the `what` of its figures. */
  readonly what: string
  readonly label: string
  readonly logarithmic?: boolean
}

/** All that one row found. */
export interface Findings {
  readonly figures: readonly Figure[]
  readonly charts: readonly Chart[]
  readonly grids?: readonly Grid[]
  /** Sentences for the reader: what was skipped, what the contestants had in common. */
  readonly notes: readonly string[]
}

/** Makes a figure of a spread. */
export function figure(of: string, what: string, unit: string, found: Spread, bar?: Bar): Figure {
  return { what, of, unit, ...found, ...(bar && { bar }) }
}

/** Whether a figure clears its bar; undefined when it has none. */
export function isMet({ bar, median }: Figure): boolean | undefined {
  if (bar?.atLeast !== undefined) return median >= bar.atLeast
  return bar?.atMost === undefined ? undefined : median <= bar.atMost
}

/** Figures with those of one quantity next to each other. */
export function sideBySide(figures: readonly Figure[]): Figure[] {
  const whats = [...new Set(figures.map(({ what }) => what))]
  return whats.flatMap((what) => figures.filter((found) => found.what === what))
}
