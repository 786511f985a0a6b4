/** Draws figures as SVG: one bar for each contestant, a line for its quartiles, dashes where the bar to clear is. */
import { barX, gridX, plot, ruleX, ruleY, text } from '@observablehq/plot'
import { parseHTML } from 'linkedom'
import type { Chart, Figure } from './findings.ts'
import { amount } from './table.ts'

const OURS = '#3b6fb6'
const THEIRS = '#b9bec7'
const INK = '#222'

/** A chart as the text of an SVG file. */
export function drawChart(title: string, chart: Chart, figures: readonly Figure[]): string {
  const shown = figures.filter(({ what }) => what === chart.what)
  const longest = Math.max(...shown.map(({ of }) => of.length))
  const bars = shown.flatMap(({ bar }) => bar?.atLeast ?? bar?.atMost ?? [])
  const most = Math.max(...shown.map(({ high, median }) => Math.max(high, median)), ...bars)
  const least = Math.min(...shown.map(({ median }) => median))
  const { document } = parseHTML('<html></html>')
  const drawn = plot({
    document,
    width: 760,
    height: 64 + shown.length * 30,
    marginLeft: 24 + longest * 6.4,
    marginRight: 90,
    marginTop: 34,
    style: { fontSize: '12px', color: INK },
    x: {
      label: `${title}: ${chart.label}`,
      labelAnchor: 'left',
      axis: 'top',
      ...(chart.logarithmic ? { type: 'log' as const, domain: [least / 3, most] } : { domain: [0, most] }),
    },
    y: { label: null, domain: shown.map(({ of }) => of), padding: 0.3 },
    marks: [
      gridX({ stroke: '#ccc', strokeOpacity: 1 }),
      barX(shown, {
        ...(chart.logarithmic ? { x1: least / 3, x2: 'median' } : { x: 'median' }),
        y: 'of',
        fill: (found: Figure) => (found.of.startsWith('aftertask') ? OURS : THEIRS),
      }),
      ruleY(shown, { x1: 'low', x2: 'high', y: 'of', stroke: INK, strokeWidth: 1.5 }),
      ruleX(bars, { stroke: INK, strokeDasharray: '4 3' }),
      text(shown, {
        x: (found: Figure) => Math.max(found.median, found.high),
        y: 'of',
        text: (found: Figure) => amount(found.median, found.unit),
        textAnchor: 'start',
        dx: 6,
      }),
    ],
  })
  // Its style sheet is for pages that it is part of.
  drawn.querySelector('style')?.remove()
  drawn.setAttribute('xmlns', 'http://www.w3.org/2000/svg')
  // Where the file is shown on something dark, it brings its own paper.
  return `${drawn.outerHTML.replace('>', '><rect width="100%" height="100%" fill="white"/>')}\n`
}
