/** Takes a large value apart into flat lists, in one walk in which it is also looked over: see `flat.ts`. */
import { hasOnlyItems } from './array-keys.ts'
import { kindOfView } from './clone-bytes.ts'
import {
  ARRAY,
  DATE,
  type FlatLists,
  KIND_BITS,
  KNOWN,
  LEAF,
  LIST,
  MAP,
  OBJECT,
  OBJECTS,
  SET,
  VIEW,
} from './flat.ts'
import { kindOf, mapEntries, setValues } from './survey.ts'

/** Deeper than this the form that does not recurse takes it. */
const DEEPEST = 64
/** More bytes than this are copied into shared memory, where they lie until a thread has read them. */
const MANY_BYTES = 16_384
/** What a number counts as; as text it may have more. */
const NUMBER_BYTES = 8
const LONGEST_NUMBER = 24
/** Nearer to a bound than this, an escaped character more or less decides: then the text itself is made. */
const SURE = 0.9

/**
 * Takes a value apart. Undefined for what this form does not hold, and for what may have more than `most` bytes once it is encoded
 * in any form. `isKept`: the lists are a snapshot themselves; else they are to be written at once. `bytes`: about as many as they
 * are; a character counts as one. Has no side effect but reading, each property once; throws what reading throws.
 */
export function toFlat(
  root: unknown,
  isKept: boolean,
  most = Number.POSITIVE_INFINITY,
): { readonly lists: FlatLists; readonly bytes: number } | undefined {
  // Then not every key that a loop finds is an object's own.
  for (const _ in Object.prototype) return undefined
  const flattener = new Flattener(isKept, most)
  if (!flattener.put(root, 0)) return undefined
  const lists = flattener.lists()
  const { bytes } = flattener
  // A character has three bytes at most, and a number is three times as long as text.
  const isSmall = bytes * 3 <= most || mostBytes(lists, bytes) <= SURE * most
  return isSmall ? { lists, bytes } : undefined
}

/** The keys of some objects, in their order. */
interface Shape {
  readonly number: number
  readonly keys: readonly string[]
  /** Bytes of the keys in an object. */
  readonly bytes: number
  /** The shape of the object that came next the last time. */
  next: Shape | undefined
}
/** An object of more keys is looked up by none: it is rather a dictionary, whose like does not come again. */
const MANY_KEYS = 64

class Flattener {
  readonly #steps: number[] = []
  readonly #values: unknown[] = []
  readonly #container = {}
  /** The containers that were met, in the order of their numbers. */
  readonly #met = new Set<object>()
  /** Their numbers, once one is met again. */
  #numbers: Map<object, number> | undefined
  readonly #shapes: Shape[] = []
  readonly #byKeys = new Map<string, Shape>()
  readonly #first: Shape = this.#make([])
  #last: Shape = this.#first
  readonly #isKept: boolean
  readonly #most: number
  bytes = 0

  constructor(isKept: boolean, most: number) {
    this.#isKept = isKept
    this.#most = most
  }

  lists(): FlatLists {
    return [this.#shapes.map(({ keys }) => keys), new Int32Array(this.#steps), this.#values, this.#container]
  }

  /** False when the value is none for this form. */
  put(value: unknown, depth: number): boolean {
    switch (typeof value) {
      case 'function':
      case 'symbol':
        return false
      case 'object':
        if (value !== null) return this.#putObject(value, depth)
    }
    this.#values.push(value)
    this.bytes += bytesOf(value)
    return this.bytes <= this.#most
  }

  #putObject(value: object, depth: number): boolean {
    this.#values.push(this.#container)
    return this.#putContainer(value, depth)
  }

  #putContainer(value: object, depth: number): boolean {
    const met = this.#met
    const { size } = met
    if (met.add(value).size === size) return this.#putKnown(value)
    this.#numbers?.set(value, size)
    if (depth > DEEPEST) return false
    const prototype: unknown = Object.getPrototypeOf(value)
    return prototype === Object.prototype || prototype === null
      ? this.#putPlain(value as Record<string, unknown>, depth)
      : this.#putOther(value, prototype, depth)
  }

  #putKnown(value: object): boolean {
    if (this.#numbers === undefined) {
      this.#numbers = new Map()
      for (const container of this.#met) this.#numbers.set(container, this.#numbers.size)
    }
    this.#enter(KNOWN, this.#numbers.get(value) as number)
    return true
  }

  #putOther(value: object, prototype: unknown, depth: number): boolean {
    if (prototype === Array.prototype && Array.isArray(value)) return this.#putArray(value, depth)
    if (prototype === Date.prototype && this.#putDate(value)) return true
    const kind = kindOf(value)
    if (kind === 'leaf') return this.#putLeaf(value)
    if (kind !== 'object' && kind !== 'map' && kind !== 'set') return false
    if (kind === 'map') return this.#putMap(value as Map<unknown, unknown>, depth)
    if (kind === 'set') return this.#putSet(value as Set<unknown>, depth)
    return this.#putInstance(value as Record<string, unknown>, depth)
  }

  /** False for what is no date: to ask before costs more than to try. */
  #putDate(value: object): boolean {
    let time: number
    try {
      time = timeOf(value)
    } catch {
      return false
    }
    this.#steps.push(DATE)
    this.bytes += NUMBER_BYTES
    this.#values.push(time)
    return true
  }

  #putLeaf(leaf: object): boolean {
    if (this.#putDate(leaf)) return true
    if (!ArrayBuffer.isView(leaf)) {
      this.#enter(LEAF, 0)
      this.#values.push(leaf)
      return !this.#isKept
    }
    this.bytes += leaf.byteLength
    if (this.bytes > this.#most) return false
    this.#enter(VIEW, kindOfView(leaf))
    const bytes = new Uint8Array(leaf.buffer, leaf.byteOffset, leaf.byteLength)
    this.#values.push(this.#isKept ? copied(bytes) : bytes)
    return true
  }

  #enter(kind: number, more: number): void {
    this.#steps.push((more << KIND_BITS) | kind)
  }

  #putPlain(record: Record<string, unknown>, depth: number): boolean {
    const steps = this.#steps
    const values = this.#values
    const at = steps.push(OBJECT) - 1
    const before = this.#last
    const guess = before.next ?? this.#first
    let count = 0
    let bytes = 0
    // The keys so far, once they are not those that were guessed.
    let found: string[] | undefined
    for (const key in record) {
      if (found !== undefined) found.push(key)
      else if (key === guess.keys[count]) count++
      else found = [...guess.keys.slice(0, count), key]
      const part = record[key]
      // What is no object is put here: a call for each would cost more than all else.
      const type = typeof part
      if (type === 'string' || type === 'number' || type === 'boolean' || part === null) {
        values.push(part)
        bytes += type === 'string' ? (part as string).length + 2 : NUMBER_BYTES
      } else if (!this.put(part, depth + 1)) return false
    }
    if (found === undefined && count < guess.keys.length) found = guess.keys.slice(0, count)
    const shape = found === undefined ? guess : this.#shapeOf(found)
    before.next = shape
    this.#last = shape
    steps[at] = shape.number << KIND_BITS
    this.bytes += shape.bytes + bytes
    return this.bytes <= this.#most
  }

  #putInstance(instance: Record<string, unknown>, depth: number): boolean {
    const keys = Object.keys(instance)
    this.#enter(OBJECT, this.#shapeOf(keys).number)
    for (const key of keys) if (!this.put(instance[key], depth + 1)) return false
    return true
  }

  #putArray(array: readonly unknown[], depth: number): boolean {
    // Its own might make something else of a slice.
    if ((array as { readonly constructor: unknown }).constructor !== Array) return false
    if (array.length * 2 > this.#most) return false
    // Read once: what is looked at is what is sent.
    const items: readonly unknown[] = array.slice()
    const { length } = items
    const plain = countPlain(items)
    if (!hasOnlyItems(array)) return false
    if (plain === length) {
      this.#enter(LIST, 0)
      this.#values.push(items)
      for (const item of items) this.bytes += bytesOf(item) + 1
      return this.bytes <= this.#most
    }
    if (plain === 0 && items.every(isObject)) {
      this.#enter(OBJECTS, length)
      for (const item of items as readonly object[]) if (!this.#putContainer(item, depth + 1)) return false
      return true
    }
    this.#enter(ARRAY, length)
    for (let index = 0; index < length; index++) {
      const item = items[index]
      if (item === undefined && !Object.hasOwn(items, index)) return false
      if (!this.put(item, depth + 1)) return false
    }
    return true
  }

  #putMap(map: Map<unknown, unknown>, depth: number): boolean {
    this.#enter(MAP, 0)
    const at = this.#steps.length - 1
    let size = 0
    for (const entry of mapEntries(map)) {
      if (!(this.put(entry[0], depth + 1) && this.put(entry[1], depth + 1))) return false
      size++
    }
    this.#steps[at] = (size << KIND_BITS) | MAP
    return true
  }

  #putSet(set: Set<unknown>, depth: number): boolean {
    this.#enter(SET, 0)
    const at = this.#steps.length - 1
    let size = 0
    for (const item of setValues(set)) {
      if (!this.put(item, depth + 1)) return false
      size++
    }
    this.#steps[at] = (size << KIND_BITS) | SET
    return true
  }

  #shapeOf(keys: readonly string[]): Shape {
    if (keys.length > MANY_KEYS) return this.#make(keys)
    const name = keys.join()
    const known = this.#byKeys.get(name)
    // Keys may have commas in them.
    if (known?.keys.length === keys.length && known.keys.every((key, at) => key === keys[at])) return known
    const shape = this.#make(keys)
    this.#byKeys.set(name, shape)
    return shape
  }

  #make(keys: readonly string[]): Shape {
    // Each with its quotes, a colon and a comma.
    const bytes = keys.reduce((sum, key) => sum + key.length + 4, 2)
    const shape = { number: this.#shapes.length, keys, bytes, next: undefined }
    this.#shapes.push(shape)
    return shape
  }
}

/** How many of the first items are no objects, no holes, and can travel. */
function countPlain(items: readonly unknown[]): number {
  let count = 0
  for (; count < items.length; count++) {
    const item = items[count]
    const type = typeof item
    if (type === 'number' || type === 'string' || type === 'boolean' || item === null) continue
    if (type === 'bigint' || (type === 'undefined' && Object.hasOwn(items, count))) continue
    break
  }
  return count
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

function bytesOf(value: unknown): number {
  if (typeof value === 'bigint') return value.toString(16).length
  return typeof value === 'string' ? value.length + 2 : NUMBER_BYTES
}

/** The most bytes that lists may have as text, but for characters that JSON escapes. `bytes`: where a character counts as one. */
function mostBytes([, , values]: FlatLists, bytes: number): number {
  let most = bytes
  for (const value of values) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (typeof item === 'string') most += Buffer.byteLength(item) - item.length
      else if (typeof item === 'number') most += LONGEST_NUMBER - NUMBER_BYTES
    }
  }
  return most
}

const timeOf = Function.prototype.call.bind(Date.prototype.getTime) as (date: object) => number

function copied(bytes: Uint8Array): Uint8Array {
  const { byteLength } = bytes
  const copy = new Uint8Array(
    byteLength > MANY_BYTES ? new SharedArrayBuffer(byteLength) : new ArrayBuffer(byteLength),
  )
  copy.set(bytes)
  return copy
}
