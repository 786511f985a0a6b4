/** What everybody notes down while the chaos lasts: one line of JSON each, in files that outlive whoever wrote them. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'

/** What an adding process or a handler has noted. */
export interface Line {
  /** Milliseconds on the clock that all processes of the machine share and nobody sets: see `now`. */
  readonly at: number
  /**
   * `begin`, `end`, `threw`: a handler. The others are of the process: `added`, `refused` (`code` says why), `stored`,
   * `unstored`, `cancelled`, `ready`, `stopping`, `stopped`, `slow` (it stood still for `ms`).
   */
  readonly what: string
  /** The name of the process, which no other ever has. */
  readonly by: string
  /** The name of the work: it stays the same however often the work is run. */
  readonly mark?: string
  readonly key?: string
  readonly code?: string
  readonly ms?: number
}

/** What the director has done to processes and to their store. */
export interface Deed {
  readonly at: number
  /** `born`, `told to stop`, `killed`, `still`, `gone`: a process. `store`: the store was in trouble. `calm`: all is well from here on. */
  readonly what: string
  readonly by?: string
  /** Which trouble. */
  readonly kind?: string
  /** When it was over. */
  readonly until?: number
  /** Of a process that is gone: its exit code, or the signal. */
  readonly code?: string
}

/** Milliseconds since the machine was started; the same in all of its processes, whatever their wall clocks say. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}

/** Adds a line to a file. A process that is killed leaves it whole, or out. */
export function note(file: string, line: Omit<Line, 'at'> | Omit<Deed, 'at'>, at = now()): void {
  appendFileSync(file, `${JSON.stringify({ at, ...line })}\n`)
}

/** All lines of a file so far. */
export function read<T extends Line | Deed>(file: string): T[] {
  const text = existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
  return text === '' ? [] : text.split('\n').map((line) => JSON.parse(line) as T)
}
