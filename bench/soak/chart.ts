/** Draws measures over time as SVG, one small chart each. */
import { line, plot, ruleY } from '@observablehq/plot'
import { parseHTML } from 'linkedom'

const WIDTH = 760
const HEIGHT = 110

/** One row a measure, over `minute`. */
export function drawLines<Sample extends { readonly minute: number }>(
  samples: readonly Sample[],
  measures: readonly (keyof Sample & string)[],
): string {
  const { document } = parseHTML('<html></html>')
  const charts = measures.map((measure, index) => {
    const chart = plot({
      document,
      width: WIDTH,
      height: HEIGHT,
      marginLeft: 60,
      style: { fontSize: '11px', color: '#222', background: 'white' },
      x: { label: index === measures.length - 1 ? 'minute' : null },
      y: { label: measure, zero: true, ticks: 4 },
      marks: [
        ruleY([0]),
        line(samples as readonly Sample[] as Sample[], { x: 'minute', y: measure, stroke: '#3b6fb6' }),
      ],
    })
    chart.querySelector('style')?.remove()
    chart.setAttribute('y', String(index * HEIGHT))
    return chart.outerHTML
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT * measures.length}">\n${charts.join('\n')}\n</svg>\n`
}
