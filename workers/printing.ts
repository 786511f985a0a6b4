/**
 * What handlers print. Node sends it to the event loop's thread piece by piece, the next once that thread asks for more:
 * of a handler that never lets its thread's loop turn the first piece alone would come out, and the others would be
 * lost when its thread is ended. So pieces are sent as they come, up to a bound: a handler that prints without end
 * must fill its own memory, not the server's.
 */
import type { Writable } from 'node:stream'
import { runningAttempt } from './whose.ts'

/** Characters that may be on their way to the event loop's thread, for each stream. */
const MOST_AHEAD = 2 ** 20
/** What a piece counts at least, since each is a message. */
const LEAST_OF_A_PIECE = 512

type Pieces = Parameters<NonNullable<Writable['_writev']>>[0]
type Done = (error?: Error | null) => void

/** A stream of this thread on which what is printed is sent at once. */
export class Printing {
  readonly #stream: Writable
  readonly #send: (pieces: Pieces, askedForMore: Done) => void
  /** What was sent since the other side last asked for more. */
  #ahead = 0
  /** Lets the stream go on, which has sent as much as it may. */
  #goOn: Done | undefined
  readonly #flushed: (() => void)[] = []

  /** `from`: which stream it is, where attempts are told what they print. */
  constructor(stream: Writable, from?: 'stdout' | 'stderr') {
    this.#stream = stream
    if (from !== undefined) tellOwners(stream, from)
    const native = stream._writev?.bind(stream)
    this.#send = native ?? ((_, done) => done())
    if (native !== undefined) stream._writev = (pieces, done) => this.#take(pieces, done)
  }

  /** Calls back once what was printed so far has been taken on the other side. */
  flush(done: () => void): void {
    if (this.#ahead === 0 && this.#stream.writableLength === 0) return done()
    this.#flushed.push(done)
  }

  #take(pieces: Pieces, done: Done): void {
    for (const { chunk } of pieces) {
      this.#ahead += Math.max(LEAST_OF_A_PIECE, (chunk as string | Uint8Array).length)
    }
    this.#send(pieces, () => this.#askedForMore())
    if (this.#ahead < MOST_AHEAD) done()
    else this.#goOn = done
  }

  #askedForMore(): void {
    this.#ahead = 0
    const goOn = this.#goOn
    this.#goOn = undefined
    goOn?.()
    if (this.#ahead === 0) for (const done of this.#flushed.splice(0)) done()
  }
}

// Taken now: a handler may replace them.
const { apply } = Reflect
const { nextTick } = process
const { toString: decode } = Buffer.prototype

/** Tells an attempt what it prints, in the order of what it logs: the stream itself knows nothing of attempts. */
function tellOwners(stream: Writable, from: 'stdout' | 'stderr'): void {
  const { write } = stream
  stream.write = (...given: unknown[]): boolean => {
    const owner = runningAttempt()
    const text = owner === undefined || owner.isOver ? undefined : textOf(given[0], given[1])
    if (owner === undefined || text === undefined || !owner.printed(from, text))
      return apply(write, stream, given)
    const done = given.at(-1)
    if (typeof done === 'function') nextTick(done as () => void)
    return true
  }
}

/** What is printed, as text; undefined for what no stream takes. */
function textOf(chunk: unknown, encoding: unknown): string | undefined {
  if (typeof chunk === 'string')
    return typeof encoding === 'string' && !/^utf-?8$/i.test(encoding)
      ? Buffer.from(chunk, encoding as BufferEncoding).toString()
      : chunk
  return chunk instanceof Uint8Array
    ? (apply(decode, Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength), ['utf8']) as string)
    : undefined
}
