/**
 * How large a value may be that crosses to or from a thread. What is larger is found while it is looked over, which ends
 * there: a value of hundreds of megabytes is refused before anything is made of it.
 */
import { constants } from 'node:buffer'
import {
  NotSerializableError,
  PayloadTooLargeError,
  ProgressTooLargeError,
  ResultTooLargeError,
} from '../words/errors.ts'

/** How large a value may be, encoded, and what is thrown for one that is larger. */
export interface Bound {
  readonly bytes: number
  tooLarge(): Error
}

/** The bounds of a runtime, in bytes. */
export interface Sizes {
  readonly payload: number
  readonly result: number
  readonly progress: number
  /** Of the message of a log line, and of its data. */
  readonly log: number
}

/** Where nothing else is said: no string is longer. `what` names the value. */
export function unbounded(what: string): Bound {
  const bytes = constants.MAX_STRING_LENGTH
  const why = `which is more than the ${inMegabytes(bytes)} that a value may have`
  const remedy = 'Send a reference to where the data is.'
  return { bytes, tooLarge: () => new NotSerializableError(what, 'too large', { why, remedy }) }
}

/** The bound of the payloads of a task. */
export function payloadBound(task: string, bytes: number): Bound {
  return { bytes, tooLarge: () => new PayloadTooLargeError(task, bytes) }
}

/** The bound of the results of a task. */
export function resultBound(task: string, bytes: number): Bound {
  return { bytes, tooLarge: () => new ResultTooLargeError(task, bytes) }
}

/** The bound of what a handler tells of how far it is. */
export function progressBound(task: string, bytes: number): Bound {
  return { bytes, tooLarge: () => new ProgressTooLargeError(task, bytes) }
}

/** The bound of what stands beside the message of a log line: more than that is left out, and this says so. */
export function leftOutBeyond(bytes: number): Bound {
  return { bytes, tooLarge: () => new NotSerializableError('data', `more than ${bytes} bytes`, LEFT_OUT) }
}

const LEFT_OUT = { why: 'and is left out', remedy: 'maxLogBytes of createRuntime says how large it may be.' }

/** What is counted of a value while it is looked over; never more than it will have once it is encoded. */
export class Tally {
  readonly #bound: Bound
  #left: number

  constructor(bound: Bound) {
    this.#bound = bound
    this.#left = bound.bytes
  }

  /** @throws what the bound says, when that is more than was left. */
  add(bytes: number): void {
    this.#left -= bytes
    if (this.#left < 0) throw this.#bound.tooLarge()
  }

  /** The least that a value has that is no object. */
  addPrimitive(value: unknown): void {
    this.add(typeof value === 'string' ? value.length : 1)
  }
}

/** An encoded value, if it fits. @throws what the bound says, when it does not. */
export function fitting<Kind extends string | Uint8Array>(encoded: Kind, bound: Bound): Kind {
  if (!fits(encoded, bound.bytes)) throw bound.tooLarge()
  return encoded
}

function fits(encoded: string | Uint8Array, most: number): boolean {
  if (typeof encoded !== 'string') return encoded.byteLength <= most
  // A character has three bytes at most: what is short is not gone through.
  if (encoded.length * 3 <= most) return true
  return encoded.length <= most && Buffer.byteLength(encoded) <= most
}

/** Cuts a text to so many bytes or a little less, and says so. */
export function cut(text: string, most: number): string {
  if (fits(text, most)) return text
  const kept = Buffer.from(text.slice(0, most), 'utf8')
    .subarray(0, most)
    .toString('utf8')
    .replace(/\uFFFD$/, '')
  return `${kept}… (${text.length - kept.length} characters more)`
}

function inMegabytes(bytes: number): string {
  return `${Math.floor(bytes / 2 ** 20)} MB`
}
