/** Frames of the control socket: one line of JSON each, of a bounded size. */
import type { Readable } from 'node:stream'
import { inspect } from 'node:util'
import { AftertaskError } from '../words/errors.ts'

/** The version of what is said over the socket. */
export const PROTOCOL = 1
/** Bytes of a request at most. */
export const MOST_ASKED = 2 ** 20
/** Characters of an answer at most: a terminal asks for pages. */
const MOST_ANSWERED = 2 ** 24

const NEWLINE = 10

/** A peer has sent a line that is longer than any may be. */
export class FrameTooLarge extends Error {}

/**
 * The lines of a stream, without their ends. What waits for its end lies in one buffer, so that a line which comes byte by byte
 * costs no more than another. Stops reading while a line is being dealt with.
 *
 * @throws FrameTooLarge when a line has more than `most` bytes.
 */
export async function* linesOf(stream: Readable, most: number): AsyncGenerator<string> {
  let kept = Buffer.alloc(0)
  let length = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let from = 0
    for (;;) {
      const end = chunk.indexOf(NEWLINE, from)
      const part = chunk.subarray(from, end === -1 ? chunk.length : end)
      if (length + part.length > most) throw new FrameTooLarge(`A line has at most ${most} bytes.`)
      if (end === -1) {
        kept = grown(kept, length + part.length)
        part.copy(kept, length)
        length += part.length
        break
      }
      const line = length === 0 ? part : Buffer.concat([kept.subarray(0, length), part])
      length = 0
      from = end + 1
      yield line.toString()
    }
  }
}

function grown(kept: Buffer<ArrayBuffer>, length: number): Buffer<ArrayBuffer> {
  if (kept.length >= length) return kept
  const larger = Buffer.alloc(Math.max(length, kept.length * 2, 4096))
  kept.copy(larger)
  return larger
}

/** Any value as JSON. What JSON cannot say becomes text that a person can read; it never throws. */
export function toJson(value: unknown): string {
  try {
    return JSON.stringify(value, plain) ?? 'null'
  } catch {
    // In a circle, too deep, or with a getter that throws.
    return JSON.stringify(shown(value))
  }
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Error) return errorFacts(value)
  // What a Buffer makes of itself is a list of all its bytes.
  if (Reflect.get(value, 'type') === 'Buffer' && Array.isArray(Reflect.get(value, 'data')))
    return `<${(Reflect.get(value, 'data') as unknown[]).length} bytes>`
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `<${value.byteLength} bytes>`
  if (value instanceof Map || value instanceof Set || value instanceof RegExp) return shown(value)
  return value
}

function shown(value: unknown): string {
  try {
    return inspect(value, { depth: 3, maxArrayLength: 50, maxStringLength: 1000 })
  } catch {
    return '<cannot be read>'
  }
}

/** What is told of an error outside of the process: no stack, and no cause. */
export interface ErrorFacts {
  readonly name: string
  readonly message: string
  readonly code?: string
}

/** The facts of whatever was thrown. */
export function errorFacts(error: unknown): ErrorFacts {
  try {
    if (!(error instanceof Error)) return { name: 'Error', message: shown(error) }
    const code: unknown = Reflect.get(error, 'code')
    const advice = error instanceof AftertaskError && error.advice !== undefined ? ` ${error.advice}` : ''
    return {
      ...{ name: String(error.name), message: `${error.message}${advice}` },
      ...(typeof code === 'string' && { code }),
    }
  } catch {
    return { name: 'Error', message: 'an error that cannot be read' }
  }
}

/** The frame of an answer. */
export function answerFrame(id: unknown, answer: unknown): string {
  const json = toJson(answer)
  if (json.length <= MOST_ANSWERED) return `{"id":${toJson(id)},"answer":${json}}\n`
  const message = `The answer has ${json.length} characters; at most ${MOST_ANSWERED} are sent. Ask for less.`
  return errorFrame(id, new AftertaskError('ERR_ANSWER_TOO_LARGE', message))
}

/** The frame of a refusal. */
export function errorFrame(id: unknown, error: unknown): string {
  return `{"id":${toJson(id)},"error":${toJson(errorFacts(error))}}\n`
}
