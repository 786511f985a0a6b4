/** Draws a run of the chaos: what was unfinished over time, under what was done to the store and to the processes. */
import { line, plot, rect, ruleX, ruleY, text } from '@observablehq/plot'
import { parseHTML } from 'linkedom'
import type { Outcome } from './scene.ts'

const WIDTH = 1100
const HEIGHT = 240
const OF_STORE = '#e8b4a0'
const OF_PROCESS: Record<string, string> = { killed: '#b3261e', 'told to stop': '#3b6fb6', still: '#8a6fb0' }

/** One chart for each store, as the text of an SVG file. */
export function drawChaos(outcomes: readonly Outcome[]): string {
  const { document } = parseHTML('<html></html>')
  const charts = outcomes.map((outcome, index) => {
    const { store, deeds } = outcome
    const zero = deeds[0]?.at ?? 0
    const minute = (at: number): number => (at - zero) / 60_000
    const open = unfinished(outcome).map(({ at, count }) => ({ minute: minute(at), count }))
    const most = Math.max(10, ...open.map(({ count }) => count))
    const troubles = deeds
      .filter(({ what }) => what === 'store')
      .map(({ at, until = at, kind }) => ({
        from: minute(at),
        until: Math.max(minute(until), minute(at) + 0.01),
        kind,
      }))
    const doings = deeds
      .filter(({ what }) => what in OF_PROCESS)
      .map(({ at, what }) => ({ minute: minute(at), colour: OF_PROCESS[what] ?? '' }))
    const chart = plot({
      document,
      width: WIDTH,
      height: HEIGHT,
      marginLeft: 60,
      marginTop: 34,
      style: { fontSize: '11px', color: '#222', background: 'white' },
      x: { label: 'minute' },
      y: { label: `${store}: acknowledged and not finished`, domain: [0, most * 1.25] },
      marks: [
        rect(troubles, { x1: 'from', x2: 'until', y1: 0, y2: most * 1.25, fill: OF_STORE, fillOpacity: 0.6 }),
        text(troubles, {
          x: 'from',
          y: most * 1.2,
          text: 'kind',
          fontSize: 7,
          rotate: -20,
          textAnchor: 'start',
        }),
        ruleX(doings, { x: 'minute', y1: most * 1.02, y2: most * 1.12, stroke: 'colour' }),
        ruleY([0]),
        line(open, { x: 'minute', y: 'count', stroke: '#222', strokeWidth: 1 }),
      ],
    })
    chart.querySelector('style')?.remove()
    chart.setAttribute('y', String(index * HEIGHT))
    return chart.outerHTML
  })
  const height = HEIGHT * outcomes.length
  const paper = '<rect width="100%" height="100%" fill="white"/>'
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}">${paper}\n${charts.join('\n')}\n</svg>\n`
}

/** At most two points a second. */
function unfinished({ lines }: Outcome): { at: number; count: number }[] {
  const open = new Set<string>()
  const ended = new Set<string>()
  const points: { at: number; count: number }[] = []
  for (const { what, mark = '', at } of lines) {
    if (what === 'end' || what === 'cancelled') ended.add(mark)
    if (what === 'stored' && !ended.has(mark)) open.add(mark)
    if (ended.has(mark)) open.delete(mark)
    if (at - (points.at(-1)?.at ?? 0) > 500) points.push({ at, count: open.size })
  }
  return points
}
