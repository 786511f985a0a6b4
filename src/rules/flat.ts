/**
 * A large value as three flat lists: the key lists of its objects, what its containers are, and what is in them. Looking a value
 * over and taking it apart is one walk (`flatten.ts`), and V8 writes a long list of text and numbers several times as fast as the
 * same in as many objects. So what is large is neither walked twice nor made into JSON text on the event loop.
 *
 * Shared references and cycles are kept. What has to be looked at more closely (errors, great depth, holes, whatever cannot
 * travel) is left to the other forms.
 */
import { types } from 'node:util'
import { viewOf } from './clone-bytes.ts'

/** The lists of a value. `container` stands in `values` for each container, of which `steps` tells more. */
export type FlatLists = readonly [
  shapes: readonly (readonly string[])[],
  steps: Int32Array,
  values: readonly unknown[],
  container: object,
]

/** The low bits of a step: what a container is. The others are a length, a shape, or the number of a container met before. */
export const KIND_BITS = 4
export const OBJECT = 0
export const ARRAY = 1
/** An array of nothing but text, numbers and the like, which is the next of the values itself. */
export const LIST = 2
export const MAP = 3
export const SET = 4
export const KNOWN = 5
/** A date, whose time is the next of the values. */
export const DATE = 6
/** A view of this kind; its bytes are the next of the values. */
export const VIEW = 7
/** An array of nothing but objects, which have no place among the values. */
export const OBJECTS = 8
/** What V8 copies best by itself, which is the next of the values. */
export const LEAF = 9

// Taken now: in a thread a handler may replace them.
const OwnDate = Date
const OwnMap = Map
const OwnSet = Set
const setIn = Function.prototype.call.bind(Map.prototype.set) as (
  map: object,
  key: unknown,
  item: unknown,
) => void
const addTo = Function.prototype.call.bind(Set.prototype.add) as (set: object, item: unknown) => void
const { defineProperty } = Object
const { isArray } = Array

/**
 * Puts a value together again. `isOwner`: nobody reads the lists after this, so that parts of them may become part of the value.
 *
 * @throws RangeError or TypeError when the lists are none that `toFlat` made.
 */
export function fromFlat(lists: unknown, isOwner: boolean): unknown {
  return new Builder(lists as FlatLists, isOwner).next()
}

class Builder {
  readonly #shapes: readonly { readonly keys: readonly string[]; readonly isSafe: boolean }[]
  readonly #steps: Int32Array
  readonly #values: readonly unknown[]
  readonly #container: object
  readonly #made: object[] = []
  readonly #isOwner: boolean
  #step = 0
  #at = 0

  constructor([shapes, steps, values, container]: FlatLists, isOwner: boolean) {
    this.#isOwner = isOwner
    this.#shapes = shapes.map((keys) => ({ keys, isSafe: !keys.includes('__proto__') }))
    this.#steps = steps
    this.#values = values
    this.#container = container
  }

  next(): unknown {
    if (this.#at >= this.#values.length) throw new RangeError('The lists of a value end too soon.')
    const value = this.#values[this.#at++]
    return value === this.#container ? this.#nextContainer() : value
  }

  #nextContainer(): object {
    const step = this.#steps[this.#step++]
    if (step === undefined) throw new RangeError('The steps of a value end too soon.')
    const kind = step & (2 ** KIND_BITS - 1)
    const more = step >>> KIND_BITS
    if (kind === OBJECT) return this.#object(more)
    if (kind === OBJECTS) return this.#objects(more)
    if (kind === ARRAY) return this.#array(more)
    if (kind === LIST) return this.#list()
    if (kind === MAP) return this.#map(more)
    if (kind === SET) return this.#set(more)
    if (kind === DATE) return this.#keep(new OwnDate(this.#values[this.#at++] as number))
    if (kind === VIEW) return this.#view(more)
    if (kind === LEAF) return this.#keep(this.#values[this.#at++] as object)
    const known = kind === KNOWN ? this.#made[more] : undefined
    if (known === undefined) throw new RangeError('A part of a value is not where it should be.')
    return known
  }

  #object(number: number): object {
    const shape = this.#shapes[number]
    if (shape === undefined) throw new RangeError('The keys of an object are missing.')
    const { keys, isSafe } = shape
    const record: Record<string, unknown> = this.#keep({})
    for (let index = 0; index < keys.length; index++) {
      const key = keys[index] as string
      if (isSafe) record[key] = this.next()
      else
        defineProperty(record, key, {
          value: this.next(),
          enumerable: true,
          writable: true,
          configurable: true,
        })
    }
    return record
  }

  #array(length: number): object {
    const array: unknown[] = this.#keep([])
    for (let index = 0; index < length; index++) array[index] = this.next()
    return array
  }

  #objects(length: number): object {
    const array: unknown[] = this.#keep([])
    for (let index = 0; index < length; index++) array[index] = this.#nextContainer()
    return array
  }

  #list(): object {
    const list = this.#values[this.#at++]
    if (!isArray(list)) throw new TypeError('A list of a value is none.')
    return this.#keep(this.#isOwner ? list : list.slice())
  }

  #view(kind: number): object {
    const bytes = this.#values[this.#at++]
    if (!types.isUint8Array(bytes)) throw new TypeError('Bytes of a value are none.')
    const own = this.#isOwner && types.isArrayBuffer(bytes.buffer) ? bytes : new Uint8Array(bytes)
    return this.#keep(viewOf(kind, own.buffer, own.byteOffset, own.byteLength))
  }

  #keep<Made extends object>(made: Made): Made {
    this.#made[this.#made.length] = made
    return made
  }

  #map(size: number): object {
    const map = this.#keep(new OwnMap())
    for (let index = 0; index < size; index++) setIn(map, this.next(), this.next())
    return map
  }

  #set(size: number): object {
    const set = this.#keep(new OwnSet())
    for (let index = 0; index < size; index++) addTo(set, this.next())
    return set
  }
}
