/** The results that are kept: one JSON file for each row, and its plots. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { drawChart } from './chart.ts'
import type { Chart, Findings } from './findings.ts'
import type { Machine } from './machine.ts'

/** A row's findings with what they were taken on. */
export interface Kept extends Findings {
  readonly name: string
  readonly title: string
  readonly machine: Machine
}

const folder = new URL('../results/', import.meta.url)

/** Writes a row's figures and plots in place of the last ones. */
export function keep(row: Kept): void {
  mkdirSync(folder, { recursive: true })
  const digits = (_key: string, value: unknown): unknown =>
    typeof value === 'number' && Number.isFinite(value) ? Number(value.toPrecision(4)) : value
  writeFileSync(new URL(`${row.name}.json`, folder), `${JSON.stringify(row, digits, 2)}\n`)
  for (const chart of row.charts) {
    writeFileSync(new URL(chartFile(row.name, chart), folder), drawChart(row.title, chart, row.figures))
  }
}

/** The latest results of a row; undefined when it was never measured. */
export function kept(name: string): Kept | undefined {
  const file = new URL(`${name}.json`, folder)
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
}

/** The file of a plot, in `bench/results`. */
export function chartFile(name: string, chart: Chart): string {
  return `${name}-${chart.what.toLowerCase().replaceAll(/\W+/g, '-')}.svg`
}
