/**
 * The one codec of whatever crosses threads, on every broker: payloads, results, progress, data of log lines, what errors
 * say. A payload is encoded once, when its job is added (which is also the snapshot that later mutation cannot reach), and
 * decoded in the thread.
 *
 * Four forms, the cheapest that holds the value:
 * - Plain JSON data becomes a JSON string: the cheapest to make, to post and to store.
 * - Whatever JSON would change (Date, Map, Set, BigInt, bytes, undefined, NaN, -0, cycles, shared references, holes) becomes
 *   the bytes of structured clone.
 * - What is large becomes flat lists, and the bytes of those. A payload that stays in this process stays lists.
 * - Errors, and what is nested so deeply that those bytes could not be read again, become the bytes of a table.
 *
 * `bench/codec` holds the comparison with the alternatives.
 */
import { describeValue, NotSerializableError } from '../words/errors.ts'
import { isA } from './arguments.ts'
import { type Bound, fitting, leftOutBeyond, unbounded } from './bounds.ts'
import { type Companions, readClone, tryClone, writeClone } from './clone-bytes.ts'
import type { ErrorText } from './error-parts.ts'
import { type FlatLists, fromFlat } from './flat.ts'
import { toFlat } from './flatten.ts'
import { fromTable, toTable } from './graph.ts'
import { isJson, TOO_LARGE } from './plain-json.ts'
import { survey } from './survey.ts'

// Taken now: in a thread a handler may replace them.
const { parse: parseJson, stringify: toJson } = JSON

/** An encoded value: a JSON string, bytes, or undefined for `undefined`. */
export type Encoded = string | Uint8Array | undefined

/** The first byte of a table; structured clone's own bytes start with 0xFF. */
const TABLE = 0xfe
/** The first byte of flat lists. */
const FLAT = 0xfd

/** Characters of JSON text, about: what would have more travels as bytes, which are sooner made and sooner read. */
const LARGE = 65_536
/** The same for a payload that stays in this process: below this JSON text is quicker, and smaller to keep. */
const LARGE_IN_MEMORY = 1024

/** A payload that was taken apart when its job was added, and is written when it is posted to a thread. */
export class Snapshot {
  readonly lists: FlatLists
  /** As `sizeOf` counts. */
  readonly bytes: number

  constructor(lists: FlatLists, bytes: number) {
    this.lists = lists
    this.bytes = bytes
  }

  /** The value, as one reader gets it. */
  copy(): unknown {
    return fromFlat(this.lists, false)
  }

  /** The same as any other value is encoded: to be stored. `what` names it. */
  plain(what: string): Encoded {
    return encode(this.copy(), what)
  }
}

/**
 * Encodes a payload that stays in this process until a thread has it, in time that depends on its size as little as can be.
 *
 * @throws what `encode` throws.
 */
export function encodeInMemory(value: unknown, what: string, bound = unbounded(what)): Encoded | Snapshot {
  if (value === undefined) return undefined
  try {
    if (isJson(value, LARGE_IN_MEMORY)) return fitting(toJson(value), bound)
  } catch (thrown) {
    if (thrown !== TOO_LARGE) return encode(value, what, bound)
  }
  const flat = flatOf(value, true, bound)
  return flat === undefined ? encode(value, what, bound) : new Snapshot(flat.lists, flat.bytes)
}

/** Undefined where a value has to be looked at more closely. */
function flatOf(value: unknown, isKept: boolean, bound: Bound): ReturnType<typeof toFlat> {
  try {
    return toFlat(value, isKept, bound.bytes)
  } catch {
    return undefined
  }
}

/** What came out of a snapshot that was posted. @throws NotSerializableError when it cannot be read. */
export function readPosted(lists: unknown, what: string): unknown {
  try {
    return fromFlat(lists, true)
  } catch (cause) {
    throw unreadable(what, cause)
  }
}

/** The bytes of a value that would make a long text; undefined for any other. */
function encodeLarge(value: unknown, bound: Bound): Uint8Array | undefined {
  try {
    isJson(value, LARGE)
  } catch (thrown) {
    const flat = thrown === TOO_LARGE ? flatOf(value, false, bound) : undefined
    if (flat !== undefined) return fitting(writeClone(flat.lists, FLAT), bound)
  }
  return undefined
}

/**
 * Encodes a value. `what` names it in the error; `bound`: how large it may be.
 *
 * @throws NotSerializableError naming the path of the first part that cannot travel; what the bound says of a value that is
 * too large.
 */
export function encode(value: unknown, what: string, bound?: Bound): Encoded {
  if (value === undefined) return undefined
  const most = bound ?? unbounded(what)
  let text: string | undefined
  let cause: unknown
  try {
    if (isJson(value, most.bytes)) text = toJson(value)
  } catch (thrown) {
    if (thrown === TOO_LARGE || isTooLong(thrown)) throw refusalOf(most, what)
    // A part that cannot be read: the survey says where it is.
    cause = thrown
  }
  if (text !== undefined) return fitting(text, most)
  const { needsGraph } = survey(value, what, { cause, bound: most })
  return fitting(encodeMore(value, what, needsGraph), most)
}

function refusalOf(bound: Bound, what: string): Error {
  const longest = unbounded(what)
  return (bound.bytes > longest.bytes ? longest : bound).tooLarge()
}

/** V8 makes no string that is longer. */
function isTooLong(thrown: unknown): boolean {
  return isA(thrown, RangeError) && thrown.message === 'Invalid string length'
}

/** Encodes a value that is no JSON and was looked over. `moved`: buffers that go along by themselves. */
export function encodeMore(
  value: unknown,
  what: string,
  needsGraph: boolean,
  moved: Companions = [],
): Uint8Array {
  try {
    return needsGraph
      ? writeClone(toTable(value as object), TABLE, moved)
      : writeClone(value, undefined, moved)
  } catch (cause) {
    if (isA(cause, NotSerializableError)) throw cause
    throw new NotSerializableError(what, describeValue(value), { cause })
  }
}

/**
 * Encodes a value in a thread, and makes sure that the event loop will be able to read it: what gives another answer each
 * time that it is read (a getter) can be written as what cannot be read.
 *
 * @throws NotSerializableError as `encode` does.
 */
export function encodeReadable(value: unknown, what: string, bound = unbounded(what)): Encoded {
  const encoded = encodeLarge(value, bound) ?? encode(value, what, bound)
  if (typeof encoded !== 'object' || encoded[0] === TABLE || encoded[0] === FLAT) return encoded
  try {
    tryClone(encoded)
  } catch (cause) {
    throw new NotSerializableError(what, describeValue(value), { cause, why: 'which cannot be read again' })
  }
  return encoded
}

/** Encodes whatever a value is: where it cannot travel, or has more than `most` bytes, why. Never throws. */
export function encodeAnyhow(value: unknown, most?: number): Encoded {
  try {
    return encodeReadable(value, 'data', most === undefined ? undefined : leftOutBeyond(most))
  } catch (error) {
    return toJson(String(error))
  }
}

/** Encodes all of an error but its own name, message and stack, leaving out what cannot travel. May throw. */
export function encodeError(error: Error): Uint8Array {
  return writeClone(toTable(error, 'without'), TABLE)
}

/** Makes an error again that `encodeError` encoded. May throw. */
export function decodeError(encoded: Uint8Array, text: ErrorText): Error {
  return fromTable(readClone(encoded.subarray(1)), text) as Error
}

/**
 * Decodes what `encode` made. What comes out belongs to the caller, its bytes included. `moved`: the buffers that went along,
 * which become part of it.
 *
 * @throws whatever reading throws, when the bytes are not what `encode` made: wherever that can be, use `read`.
 */
export function decode(encoded: Encoded | Snapshot, moved?: Companions): unknown {
  if (typeof encoded === 'string') return parseJson(encoded)
  if (encoded === undefined) return undefined
  if (encoded instanceof Snapshot) return encoded.copy()
  if (encoded[0] === FLAT) return fromFlat(readClone(encoded.subarray(1)), true)
  return encoded[0] === TABLE ? fromTable(readClone(encoded.subarray(1), moved)) : readClone(encoded, moved)
}

/**
 * Decodes a value that may not be what `encode` made: kept in a file, or by a store that others write to. `what` names it.
 *
 * @throws NotSerializableError, and nothing else, when it cannot be read.
 */
export function read(encoded: Encoded | Snapshot, what: string, moved?: Companions): unknown {
  try {
    return decode(encoded, moved)
  } catch (cause) {
    throw unreadable(what, cause)
  }
}

/** Decodes what is only shown: the error takes the place of a value that cannot be read. */
export function readOrError(encoded: Encoded | Snapshot, what: string): unknown {
  try {
    return decode(encoded)
  } catch (cause) {
    return unreadable(what, cause)
  }
}

function unreadable(what: string, cause: unknown): NotSerializableError {
  const remedy = 'It was written by something else, or its bytes are damaged.'
  return new NotSerializableError(what, 'a value', { why: 'which cannot be read again', remedy, cause })
}
