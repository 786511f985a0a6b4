/**
 * The last lines of attempts that say more than is posted, in memory that a thread shares with the event loop's side: a
 * handler that speaks without end costs nobody a message, and what it said last is there even once its thread was ended.
 *
 * Two halves: when one is full, the other is begun anew. An entry is the number of its bytes and then its text. How far both
 * are filled, and which one is being filled, is one word, which is stored once an entry is whole: whoever reads after the
 * death of the thread finds no half of one.
 */
import { Buffer } from 'node:buffer'

/** Bytes of both halves. */
export const TAIL_BYTES = 65_536

/** Words of four bytes in a half. How many of them are filled has to fit 15 bits. */
const HALF = TAIL_BYTES / 8

// Taken now: in a thread a handler may replace them.
const { load, store } = Atomics
const { byteLength } = Buffer
const { write } = Buffer.prototype
const { apply } = Reflect
const { ceil } = Math

/** How far each half is filled, in words, and which one is being filled. */
interface Filled {
  readonly first: number
  readonly second: number
  readonly isSecond: boolean
}

/** What is written by the one thread, and read by it, or by the other side once it has ended. */
export class LogTail {
  readonly #state: Int32Array
  readonly #at: number
  readonly #words: Int32Array
  readonly #bytes: Buffer

  /** `state[at]` tells how far it is filled. The memory begins at `offset`. */
  constructor(state: Int32Array, at: number, memory: SharedArrayBuffer, offset: number) {
    this.#state = state
    this.#at = at
    this.#words = new Int32Array(memory, offset, TAIL_BYTES / 4)
    this.#bytes = Buffer.from(memory, offset, TAIL_BYTES)
  }

  /** Adds an entry, for which older ones may go. One that has no room in a half is left out. */
  add(text: string): void {
    const length = byteLength(text)
    const size = 1 + ceil(length / 4)
    if (size > HALF) return
    let { first, second, isSecond } = this.#filled
    if ((isSecond ? second : first) + size > HALF) {
      isSecond = !isSecond
      if (isSecond) second = 0
      else first = 0
      this.#fill(first, second, isSecond)
    }
    const at = isSecond ? HALF + second : first
    this.#words[at] = length
    apply(write, this.#bytes, [text, at * 4 + 4, 'utf8'])
    if (isSecond) second += size
    else first += size
    this.#fill(first, second, isSecond)
  }

  /** All entries, the oldest first. */
  read(): string[] {
    const { first, second, isSecond } = this.#filled
    const [one, other] = [this.#entries(0, first), this.#entries(HALF, HALF + second)]
    return isSecond ? [...one, ...other] : [...other, ...one]
  }

  #entries(from: number, end: number): string[] {
    const entries: string[] = []
    for (let at = from; at < end; ) {
      const length = this.#words[at] as number
      entries.push(this.#bytes.toString('utf8', at * 4 + 4, at * 4 + 4 + length))
      at += 1 + ceil(length / 4)
    }
    return entries
  }

  get #filled(): Filled {
    const state = load(this.#state, this.#at)
    return {
      first: state & 0x7f_ff,
      second: (state >> 15) & 0x7f_ff,
      isSecond: (state & 0x40_00_00_00) !== 0,
    }
  }

  #fill(first: number, second: number, isSecond: boolean): void {
    store(this.#state, this.#at, first | (second << 15) | (isSecond ? 0x40_00_00_00 : 0))
  }
}

/** A line as an entry: the slot of its attempt, then as it is posted. `number`: of the lines that were not posted. */
export type TailLine = readonly [
  slot: number,
  number: number,
  level: string,
  message: string,
  data: string | undefined,
  at: number,
  from: string,
]

const { parse, stringify } = JSON

/** An entry for a line. */
export function tailEntry(line: TailLine): string {
  return stringify(line)
}

/** Lines as they are posted: what follows the slot in a message. First, how many are missing before them. */
export function tailMessages(lines: readonly TailLine[], dropped: number): unknown[][] {
  const [first] = lines
  const posted: unknown[][] = lines.map(([, , level, message, data, at, from]) => [
    ...[level, message, data ?? undefined, at, from],
  ])
  if (first === undefined || dropped === 0) return posted
  const what = dropped === 1 ? '1 line is left out here' : `${dropped} lines are left out here`
  return [['warn', what, undefined, first[5], 'runtime', dropped], ...posted]
}

/** An entry that says: what came before it in this slot was told. */
export function toldEntry(slot: number): string {
  return `[${slot}]`
}

/** The lines in a slot that were not told, oldest first, and how many before them are gone. */
export function tailOf(
  tail: LogTail,
  slot: number,
): { readonly lines: readonly TailLine[]; readonly dropped: number } {
  let lines: TailLine[] = []
  const begin = `[${slot},`
  const told = toldEntry(slot)
  for (const entry of tail.read()) {
    if (entry === told) lines = []
    else if (entry.startsWith(begin)) lines.push(parse(entry) as TailLine)
  }
  return { lines, dropped: (lines[0]?.[1] ?? 1) - 1 }
}
