/** Writes docs/performance.md from the results that are kept and from what is written by hand in `bench/notes`. */
import { readFileSync } from 'node:fs'
import { chartFile, type Kept, kept } from './keep.ts'
import type { Machine } from './machine.ts'
import { asMarkdown, figureGrid } from './table.ts'

/** The page, with these rows in this order; a row without results is left out. */
export function page(names: readonly string[]): string {
  const rows = names.map(kept).filter((row) => row !== undefined)
  const parts = [
    '<!-- Written by `npm run bench` from bench/results and bench/notes: change those. -->\n# Performance',
    note('method'),
    ...(rows.length > 0 ? [machines(rows)] : []),
    ...rows.map(section),
    note('tried'),
  ]
  return `${parts.join('\n\n')}\n`
}

function section({ name, title, machine, figures, charts, grids = [], notes }: Kept): string {
  const plots = charts.map(
    (chart) => `![${title}: ${chart.label}](../bench/results/${chartFile(name, chart)})`,
  )
  return [
    `## ${title}`,
    `\`npm run bench -- ${name}\`, ${machine.date}`,
    ...(figures.length > 0 ? [asMarkdown(figureGrid('', figures))] : []),
    ...grids.flatMap((grid) => [`${grid.title}:`, asMarkdown(grid)]),
    ...plots,
    ...(notes.length > 0 ? [notes.map((line) => `- ${line}`).join('\n')] : []),
  ].join('\n\n')
}

function machines(rows: readonly Kept[]): string {
  const texts = new Set(rows.map(({ machine }) => inWords(machine)))
  return `## Machine\n\n${[...texts].map((text) => `- ${text}`).join('\n')}`
}

function inWords({ processor, cores, memoryGb, system, node }: Machine): string {
  return `${processor}, ${cores} cores, ${memoryGb} GB of memory, ${system}, Node ${node}`
}

function note(name: string): string {
  return readFileSync(new URL(`../notes/${name}.md`, import.meta.url), 'utf8').trim()
}
