/** Figures as text: a table for the terminal and one for Markdown. */
import { type Bar, type Figure, type Findings, type Grid, isMet } from './findings.ts'

/** A number at three digits that matter, with its unit. */
export function amount(value: number, unit: string): string {
  const number =
    Math.abs(value) >= 1000
      ? Math.round(Number(value.toPrecision(4))).toLocaleString('en')
      : String(Number(value.toPrecision(3)))
  return unit === 'x' ? `${value.toFixed(2)}x` : `${number}${unit === '' ? '' : ` ${unit}`}`
}

function barText(bar: Bar | undefined, unit: string): string {
  const { atLeast, atMost, aim } = bar ?? {}
  return [
    ...(atLeast === undefined ? [] : [`>= ${amount(atLeast, unit)}`]),
    ...(atMost === undefined ? [] : [`<= ${amount(atMost, unit)}`]),
    ...(aim === undefined ? [] : [`aim ${amount(aim, unit)}`]),
  ].join(', ')
}

function verdict(figure: Figure): string {
  const met = isMet(figure)
  return met === undefined ? '' : met ? 'met' : 'MISSED'
}

/** The figures of a row as a grid. */
export function figureGrid(title: string, figures: readonly Figure[]): Grid {
  return {
    title,
    head: ['what', 'of', 'median', 'quartiles', 'n', 'bar', ''],
    lines: figures.map((found) => {
      const { what, of, unit, median, low, high, samples, bar } = found
      const quartiles = samples > 1 ? `${amount(low, unit)} to ${amount(high, unit)}` : ''
      const count = samples > 1 ? String(samples) : ''
      return [what, of, amount(median, unit), quartiles, count, barText(bar, unit), verdict(found)]
    }),
  }
}

/** A grid for the terminal, in columns. */
export function asText({ title, head, lines }: Grid): string {
  const widths = head.map((cell, column) =>
    Math.max(cell.length, ...lines.map((line) => (line[column] ?? '').length)),
  )
  const row = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  const rule = widths.map((width) => '-'.repeat(width))
  return [`\n${title}`, row(head), row(rule), ...lines.map(row)].join('\n')
}

/** A grid as a Markdown table. */
export function asMarkdown({ head, lines }: Grid): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [row(head), row(head.map(() => '---')), ...lines.map(row)].join('\n')
}

/** All that a row found, for the terminal. */
export function findingsText(title: string, { figures, grids = [], notes }: Findings): string {
  const tables = figures.length === 0 ? grids : [figureGrid(title, figures), ...grids]
  return [...tables.map(asText), ...notes.map((note) => `  ${note}`)].join('\n')
}
