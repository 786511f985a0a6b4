/** The two text formats that Prometheus reads. */
import type { Family, Labels } from './families.ts'

/** A text format: what a scraper asks for, and what it is told that it got. */
export interface Format {
  readonly contentType: string
  readonly isOpenMetrics: boolean
}

const TEXT: Format = { contentType: 'text/plain; version=0.0.4; charset=utf-8', isOpenMetrics: false }
const OPEN_METRICS: Format = {
  contentType: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
  isOpenMetrics: true,
}

/** The format that a scraper asks for in its `Accept` header; the plain one for whoever asks for neither. */
export function formatFor(accept: string | undefined): Format {
  return accept !== undefined && /\bapplication\/openmetrics-text\b/.test(accept) ? OPEN_METRICS : TEXT
}

/** Writes families in a format. */
export function write(families: readonly Family[], { isOpenMetrics }: Format): string {
  const lines: string[] = []
  for (const { name, help, type, samples } of families) {
    // OpenMetrics names the family and the plain format the sample: they differ for counters.
    const counted = type === 'counter' ? `${name}_total` : name
    const head = isOpenMetrics ? name : counted
    lines.push(`# HELP ${head} ${escapeHelp(help)}`, `# TYPE ${head} ${type}`)
    for (const { suffix = '', labels, value } of samples)
      lines.push(`${counted}${suffix}${inBraces(labels)} ${numberOf(value)}`)
  }
  if (isOpenMetrics) lines.push('# EOF')
  return `${lines.join('\n')}\n`
}

function inBraces(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function numberOf(value: number): string {
  if (Number.isFinite(value)) return String(value)
  return value > 0 ? '+Inf' : value < 0 ? '-Inf' : 'NaN'
}

function escapeLabel(text: string): string {
  return wellFormed(text).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

/** Both formats are UTF-8: half of a surrogate pair in the name of a task would spoil the whole scrape. */
function wellFormed(text: string): string {
  return text.toWellFormed()
}
