/**
 * Values whose buffers are moved to another thread instead of copied. What is not movable (Node's pool, memory of
 * WebAssembly) is copied: to move is a way of being quick, and the value arrives all the same.
 */
import { types } from 'node:util'
// Not by its name: an older Node has none, and is to be told so and not to fail over the import.
import * as workerThreads from 'node:worker_threads'
import { describeValue, NotSerializableError } from '../words/errors.ts'
import type { Bound } from './bounds.ts'
import type { Companions } from './clone-bytes.ts'
import { type Encoded, encode, encodeMore, read, Snapshot } from './codec.ts'
import { survey } from './survey.ts'

/** A payload or result whose buffers go along with it. */
export class Moved {
  /** All but the buffers. */
  readonly encoded: Uint8Array
  readonly buffers: Companions

  constructor(encoded: Uint8Array, buffers: Companions) {
    this.encoded = encoded
    this.buffers = buffers
  }

  /** The buffers that are moved. Shared memory goes along as it is. */
  get transfer(): ArrayBuffer[] {
    return this.buffers.filter((buffer) => types.isArrayBuffer(buffer))
  }

  /** The value, with the buffers in it: for who is the last to hold them. */
  take(what: string): unknown {
    return read(this.encoded, what, this.buffers)
  }

  /** The value with buffers of its own. */
  copy(what: string): unknown {
    const copies = this.buffers.map((buffer) => (types.isArrayBuffer(buffer) ? buffer.slice(0) : buffer))
    return read(this.encoded, what, copies)
  }

  /** The same as any other value is encoded: to be stored. */
  plain(what: string): Encoded {
    return encode(this.take(what), what)
  }
}

/** Bytes of an encoded value as it lies in memory, buffers that are moved included. A character of a text counts as one. */
export function sizeOf(encoded: Encoded | Moved | Snapshot): number {
  if (encoded === undefined) return 0
  if (encoded instanceof Snapshot) return encoded.bytes
  if (typeof encoded === 'string') return encoded.length
  if (encoded instanceof Uint8Array) return encoded.byteLength
  return encoded.buffers.reduce((sum, { byteLength }) => sum + byteLength, encoded.encoded.byteLength)
}

/** A result for one reader: what comes out is his own. @throws NotSerializableError when it cannot be read. */
export function readResult(result: Encoded | Moved, what: string): unknown {
  return result instanceof Moved ? result.copy(what) : read(result, what)
}

/** What a handler returns to have buffers of its result moved. */
export class ToMove {
  readonly value: unknown
  readonly buffers: unknown

  constructor(value: unknown, buffers: unknown) {
    this.value = value
    this.buffers = buffers
  }
}

/**
 * Encodes a value and takes these buffers of it, which are detached for whoever has them. Nothing is taken when it throws.
 *
 * @throws NotSerializableError naming what cannot travel, a buffer that is no ArrayBuffer or is detached already, or one that
 * the value does not hold. What the bound says of a value that is too large with its buffers.
 */
export function move(value: unknown, listed: unknown, what: string, bound?: Bound): Encoded | Moved {
  const buffers = listOf(listed)
  const found = survey(value, what, { takesShared: true, ...(bound && { bound }) })
  for (const [index, buffer] of buffers.entries()) {
    if (!found.buffers.has(buffer)) {
      const why = `which ${what} does not hold`
      const remedy = 'List only buffers of the value: bytes.buffer, for each view that is to be moved.'
      throw new NotSerializableError(`transfer[${index}]`, 'an ArrayBuffer', { why, remedy })
    }
  }
  const movable = [...new Set(buffers)].filter((buffer) => !workerThreads.isMarkedAsUntransferable(buffer))
  const shared = [...found.buffers].filter((buffer) => types.isSharedArrayBuffer(buffer))
  if (movable.length + shared.length === 0) return encode(value, what, bound)
  const encoded = encodeMore(value, what, found.needsGraph, [...movable, ...shared])
  // A view of a part takes its whole buffer along. Nothing is moved before it is known to fit.
  if (bound !== undefined && sizeOf(new Moved(encoded, movable)) > bound.bytes) throw bound.tooLarge()
  return new Moved(encoded, [...movable.map(taken), ...shared])
}

function listOf(listed: unknown): readonly ArrayBuffer[] {
  if (!Array.isArray(listed))
    throw new NotSerializableError('transfer', describeValue(listed), {
      why: 'where a list of ArrayBuffers is expected',
      remedy: 'Write transfer: [bytes.buffer].',
    })
  for (const [index, buffer] of listed.entries()) {
    const path = `transfer[${index}]`
    if (!types.isArrayBuffer(buffer)) {
      const remedy = ArrayBuffer.isView(buffer) ? 'Give its .buffer.' : 'Only ArrayBuffers can be moved.'
      throw new NotSerializableError(path, describeValue(buffer), { why: 'which is no ArrayBuffer', remedy })
    }
    if (buffer.detached)
      throw new NotSerializableError(path, 'an ArrayBuffer', {
        why: 'whose memory was moved elsewhere before',
        remedy: 'A buffer can be moved once.',
      })
  }
  return listed as readonly ArrayBuffer[]
}

function taken(buffer: ArrayBuffer): ArrayBuffer {
  try {
    return buffer.transfer()
  } catch {
    // Memory of WebAssembly stays where it is.
    return buffer.slice(0)
  }
}

/** The buffers of bytes that nobody here needs any more: large ones are moved, small ones are quicker to copy. */
export function buffersOf(encoded: Encoded): readonly ArrayBuffer[] | undefined {
  return encoded instanceof Uint8Array && encoded.byteLength > 16_384
    ? [encoded.buffer as ArrayBuffer]
    : undefined
}
