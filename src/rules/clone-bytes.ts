/**
 * Structured clone as bytes, in the format of `v8.serialize`, with an answer of its own for memory: each typed array that is
 * read has a buffer of its own, of the length that was sent. `v8.deserialize` makes views over the message instead, or over
 * Node's pool, so that `bytes.buffer` would show memory that belongs to somebody else.
 *
 * Buffers can also be moved: the bytes then only say where their views were, and the buffers themselves go along.
 */
import { Buffer } from 'node:buffer'
import { types } from 'node:util'
import { DefaultDeserializer, DefaultSerializer, serialize } from 'node:v8'

/** Kinds of views by their number in the format, which is that of Node's own serializer. */
const KINDS = [
  'Int8Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'DataView',
  'Buffer',
  'BigInt64Array',
  'BigUint64Array',
  'Float16Array',
] as const

const DATA_VIEW = 9
const BUFFER = 10
/** Added to the kind of a view whose buffer is moved. */
const MOVED = 64

type View = ArrayBufferView
/** Buffers that go along by themselves, by their number in the bytes. */
export type Companions = readonly ArrayBufferLike[]

const kindName = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)?.get as (this: unknown) => (typeof KINDS)[number] | undefined

/** The number of a view's kind. */
export function kindOfView(view: View): number {
  if (Buffer.isBuffer(view)) return BUFFER
  const name = kindName.call(view)
  return name === undefined ? DATA_VIEW : KINDS.indexOf(name)
}

class Writer extends DefaultSerializer {
  readonly #moved: Companions

  constructor(moved: Companions) {
    super()
    this.#moved = moved
    for (const [index, buffer] of moved.entries()) {
      if (!types.isSharedArrayBuffer(buffer)) this.transferArrayBuffer(index, buffer)
    }
  }

  /** Called for views, and for objects that only V8's embedder could write. */
  _writeHostObject(view: unknown): void {
    if (!ArrayBuffer.isView(view)) throw new TypeError('It is an object of the platform.')
    const { buffer, byteOffset, byteLength } = view as View
    const kind = kindOfView(view as View)
    const index = this.#moved.indexOf(buffer)
    this.writeUint32(index === -1 ? kind : kind + MOVED)
    if (index !== -1) {
      this.writeUint32(index)
      this.writeUint32(byteOffset)
    }
    this.writeUint32(byteLength)
    if (index === -1) this.writeRawBytes(new Uint8Array(buffer, byteOffset, byteLength))
  }
}

class Reader extends DefaultDeserializer {
  readonly #moved: Companions
  readonly #isTrial: boolean

  constructor(bytes: Uint8Array, moved: Companions, isTrial: boolean) {
    super(bytes)
    this.#moved = moved
    this.#isTrial = isTrial
    for (const [index, buffer] of moved.entries()) {
      if (!types.isSharedArrayBuffer(buffer)) this.transferArrayBuffer(index, buffer)
    }
  }

  _readHostObject(): View {
    const tag = this.readUint32()
    if (tag >= MOVED) {
      const buffer = this.#moved[this.readUint32()]
      const offset = this.readUint32()
      if (buffer === undefined) throw new RangeError('A buffer that was moved is not at hand.')
      return viewOf(tag - MOVED, buffer, offset, this.readUint32())
    }
    const raw = this.readRawBytes(this.readUint32())
    if (this.#isTrial) return raw as View
    const start = raw.byteOffset
    return viewOf(tag, (raw.buffer as ArrayBuffer).slice(start, start + raw.byteLength), 0, raw.byteLength)
  }
}

/** A view of a kind over a buffer. @throws RangeError when there is no such kind. */
export function viewOf(kind: number, buffer: ArrayBufferLike, offset: number, bytes: number): View {
  if (kind === BUFFER) return Buffer.from(buffer, offset, bytes)
  const name = KINDS[kind]
  const Class = name && (Reflect.get(globalThis, name) as Uint8ArrayConstructor | undefined)
  if (Class === undefined) throw new RangeError(`There is no kind of bytes with number ${kind}.`)
  return new Class(
    buffer as ArrayBuffer,
    offset,
    kind === DATA_VIEW ? bytes : bytes / Class.BYTES_PER_ELEMENT,
  )
}

/**
 * Writes a value. `mark`: a byte that goes before, to tell formats apart; the bytes themselves start with 0xFF. `moved`:
 * buffers that go along by themselves.
 *
 * @throws what V8 throws for a value that structured clone refuses.
 */
export function writeClone(value: unknown, mark?: number, moved: Companions = []): Uint8Array {
  // The same bytes, sooner.
  if (mark === undefined && moved.length === 0) return serialize(value)
  const writer = new Writer(moved)
  if (mark !== undefined) writer.writeRawBytes(Uint8Array.of(mark))
  writer.writeHeader()
  writer.writeValue(value)
  return writer.releaseBuffer()
}

/** Reads what `writeClone` wrote, without its mark. The buffers that went along become part of the value. */
export function readClone(bytes: Uint8Array, moved: Companions = []): unknown {
  const reader = new Reader(bytes, moved, false)
  reader.readHeader()
  return reader.readValue()
}

/** Reads bytes only to see whether they can be read: what is in views is not copied. @throws what reading throws. */
export function tryClone(bytes: Uint8Array): void {
  const reader = new Reader(bytes, [], true)
  reader.readHeader()
  reader.readValue()
}
