/** Rows and columns as lines, and moments and durations as a person reads them. */
import { fitting, type Piece, printable, type Styled, styled, widthOf } from './output.ts'

// What a job says may be long; whoever wants it whole asks for the job, or for JSON.
const WIDEST = 40

/**
 * Lines of a table: a head, and a row for each. Every column but the last is as wide as its widest cell. The first, by which
 * a thing is named, is never cut.
 */
export function tableLines(head: readonly string[], rows: readonly (readonly Piece[])[]): Piece[][] {
  const clipped = rows.map((row) =>
    row.map((cell, column) => (column === 0 || column === row.length - 1 ? cell : clip(cell))),
  )
  const all: readonly (readonly Piece[])[] = [head.map((name) => styled('dim', name)), ...clipped]
  const widths = head.map((_, column) =>
    Math.max(...all.map((row) => widthOf(printable(textOf(row[column]))))),
  )
  return all.map((row) =>
    row.flatMap((cell, column) => {
      const isLast = column === row.length - 1
      if (isLast) return [cell]
      return [cell, ' '.repeat((widths[column] ?? 0) - widthOf(printable(textOf(cell))) + 2)]
    }),
  )
}

function clip(cell: Piece): Piece {
  const text = fitting(printable(textOf(cell)), WIDEST)
  return typeof cell === 'string' ? text : styled(cell.look, text)
}

function textOf(piece: Piece | undefined): string {
  return typeof piece === 'string' ? piece : (piece?.text ?? '')
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const

/** A duration in its largest unit: `450ms`, `12s`, `3h`. */
export function duration(milliseconds: number): string {
  if (!Number.isFinite(milliseconds)) return '–'
  const size = Math.abs(milliseconds)
  const sign = milliseconds < 0 ? '-' : ''
  for (const [unit, length] of UNITS) if (size >= length) return `${sign}${Math.floor(size / length)}${unit}`
  return `${sign}${Math.round(size)}ms`
}

/** How long ago a moment was, or how long until then. */
export function since(time: number | null | undefined, now: number): string {
  if (typeof time !== 'number') return '–'
  return time > now ? `in ${duration(time - now)}` : duration(now - time)
}

/** A moment as a date and a time of UTC. */
export function moment(time: number | null | undefined): string {
  if (typeof time !== 'number') return '–'
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? '–' : date.toISOString().replace('T', ' ')
}

/** A state, in the colour that it deserves. */
export function stateOf(state: string): Styled | string {
  if (state === 'dead') return styled('red', state)
  if (state === 'retryable') return styled('yellow', state)
  if (state === 'running') return styled('cyan', state)
  if (state === 'completed') return styled('green', state)
  return state
}
