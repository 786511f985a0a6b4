/**
 * Looks over a value that is more than JSON before it is written: finds the first part that cannot travel, with its path, and
 * says which form of bytes can hold the value. It takes each object once and does not recurse, so that neither shared
 * references nor depth cost more than their size.
 */
import { types } from 'node:util'
import { describeValue, NotSerializableError } from '../words/errors.ts'
import { hasOnlyItems } from './array-keys.ts'
import { type Bound, Tally } from './bounds.ts'
import { isError } from './error-parts.ts'
import { isPlainObject, remedyFor, wouldArriveEmpty } from './platform-objects.ts'

/** What is found in a value that can travel. */
export interface Survey {
  /** True where structured clone's own bytes would lose something, or could not be read again: an error, great depth, shared memory. */
  readonly needsGraph: boolean
  /** The buffers in it. */
  readonly buffers: ReadonlySet<ArrayBufferLike>
}

/**
 * Deeper than this, V8's bytes are not used: it writes and reads them by recursion, and a thread's stack is four times as
 * large as the event loop's, so that a thread could write what the event loop cannot read.
 */
const DEEPEST = 256
/** Deeper than this nothing travels: hardly any code, ours or a user's, could walk through it. */
const DEEPEST_OF_ALL = 5000

/** What an object is to structured clone. */
export type Kind = 'object' | 'array' | 'map' | 'set' | 'error' | 'leaf' | 'shared'

/** What is wrong with a value. */
export interface Fault {
  readonly what: string
  readonly why?: string
  readonly remedy?: string
  readonly cause?: unknown
}

/**
 * Looks over a value. `what` names it in the error. `cause`: what was thrown when it was first read. `takesShared`: shared
 * memory is no fault. `bound`: how large it may be.
 *
 * @throws NotSerializableError with the path of what cannot travel; what the bound says, as soon as it is certain that the
 * value is larger.
 */
export function survey(
  root: unknown,
  what: string,
  { cause, takesShared = false, bound }: { cause?: unknown; takesShared?: boolean; bound?: Bound } = {},
): Survey {
  const found = look(root, Number.POSITIVE_INFINITY, takesShared, bound && new Tally(bound))
  if (!('fault' in found)) return found
  const { fault, value, holder, holders } = found
  // A whole value is at fault when it is too deep: its path would be of no use.
  if (fault === TOO_DEEP) throw new NotSerializableError(what, fault.what, fault)
  const step = found.step ?? (holder === undefined ? '' : stepTo(holder, value as object))
  const path = pathTo(what, holders, holder, step)
  const remedy = remedyFor(value, path.at(-1) || what)
  throw new NotSerializableError(path.join(''), fault.what, {
    ...(cause === undefined ? {} : { cause }),
    ...(remedy === undefined ? {} : { remedy }),
    ...fault,
  })
}

/** How many objects were looked at, and whether all of it can travel. `most`: more than that is too much to look at. */
export function canTravel(root: object, most: number): { readonly answer: boolean; readonly looked: number } {
  const found = look(root, most, false)
  return { answer: !('fault' in found), looked: found.holders.size + 1 }
}

/** The objects that were met, each with the one that holds it. */
type Holders = ReadonlyMap<object, object | undefined>

/** Where something cannot travel. */
interface Finding {
  readonly fault: Fault
  readonly value: unknown
  readonly holder: object | undefined
  /** The place in its holder; to be looked for where there is none. */
  readonly step: string | undefined
  readonly holders: Holders
}

function look(
  root: unknown,
  most: number,
  takesShared: boolean,
  tally?: Tally,
): (Survey & { readonly holders: Holders }) | Finding {
  const holders = new Map<object, object | undefined>()
  const buffers = new Set<ArrayBufferLike>()
  let needsGraph = false
  const rootFault = faultOfPrimitive(root)
  if (rootFault !== undefined) return { fault: rootFault, value: root, holder: undefined, step: '', holders }
  // What is to be looked at, with its holder and its depth: the last comes next.
  const values: object[] = isObject(root) ? [root] : []
  const owners: (object | undefined)[] = [undefined]
  const depths: number[] = [0]
  for (let value = values.pop(); value !== undefined; value = values.pop()) {
    const holder = owners.pop()
    const depth = depths.pop() as number
    if (holders.has(value)) continue
    const kind = judged(value, takesShared)
    if (typeof kind !== 'string') return { fault: kind, value, holder, step: undefined, holders }
    if (kind === 'leaf' || kind === 'shared') {
      needsGraph ||= kind === 'shared' && !ArrayBuffer.isView(value)
      noteBuffer(value, buffers, tally)
      continue
    }
    holders.set(value, holder)
    tally?.add(1)
    const excess = excessOf(depth, holders.size - most)
    if (excess !== undefined) return { fault: excess, value, holder, step: undefined, holders }
    if (depth > DEEPEST || kind === 'error') needsGraph = true
    if (kind === 'error') continue
    const before = values.length
    let finding: Finding | undefined
    eachPart(kind, value, (step, part, thrown, isKey) => {
      if (typeof part === 'object' && part !== null) {
        values.push(part)
        owners.push(value)
        depths.push(depth + 1)
      } else if (thrown === undefined && typeof part !== 'function' && typeof part !== 'symbol') {
        tally?.addPrimitive(part)
      } else {
        const fault = thrown ?? { what: describeValue(part) }
        finding ??= { fault, value: part, holder: value, step: stepText(kind, step, isKey), holders }
      }
    })
    if (finding !== undefined) return finding
    // The first goes first, as with V8: only then is the depth the one that V8 will have.
    reverseFrom(values, before)
  }
  return { needsGraph, buffers, holders }
}

function judged(value: object, takesShared: boolean): Kind | Fault {
  const kind = kindOf(value)
  return kind === 'shared' && !takesShared ? sharedFault(value) : kind
}

function noteBuffer(leaf: object, buffers: Set<ArrayBufferLike>, tally: Tally | undefined): void {
  const isView = ArrayBuffer.isView(leaf)
  const buffer = isView ? leaf.buffer : leaf
  if (!types.isAnyArrayBuffer(buffer) || buffers.has(buffer)) return
  buffers.add(buffer)
  tally?.add(isView ? leaf.byteLength : buffer.byteLength)
}

function excessOf(depth: number, over: number): Fault | undefined {
  return depth > DEEPEST_OF_ALL ? TOO_DEEP : over > 0 ? TOO_MUCH : undefined
}

const TOO_MUCH: Fault = { what: 'too much' }
const TOO_DEEP: Fault = {
  what: `nested more than ${DEEPEST_OF_ALL} levels deep`,
  why: 'which hardly any code could walk through',
  remedy: 'Send a list of parts that name each other by an id.',
}

function reverseFrom(values: object[], start: number): void {
  for (let low = start, high = values.length - 1; low < high; low++, high--) {
    const value = values[low] as object
    values[low] = values[high] as object
    values[high] = value
  }
}

/** What an object is to structured clone, or why it cannot travel. */
export function kindOf(value: object): Kind | Fault {
  try {
    if (types.isProxy(value)) return { what: 'a Proxy' }
    if (Array.isArray(value)) return 'array'
    if (isPlainObject(value)) return 'object'
    if (isError(value)) return 'error'
    if (types.isDate(value) || types.isRegExp(value)) return 'leaf'
    if (types.isMap(value)) return 'map'
    if (types.isSet(value)) return 'set'
    if (ArrayBuffer.isView(value)) return kindOfBytes(value.buffer, value)
    if (types.isAnyArrayBuffer(value)) return kindOfBytes(value, value)
    if (types.isBoxedPrimitive(value))
      return types.isSymbolObject(value) ? { what: 'a boxed symbol' } : 'leaf'
    if (types.isPromise(value)) return { what: describeValue(value) }
    return wouldArriveEmpty(value)
      ? { what: describeValue(value), why: 'which would arrive empty' }
      : 'object'
  } catch (cause) {
    return { what: describeValue(value), why: `which cannot be read (${textOf(cause)})`, cause }
  }
}

function kindOfBytes(buffer: ArrayBufferLike, value: object): Kind | Fault {
  if (types.isSharedArrayBuffer(buffer)) return 'shared'
  return buffer.detached ? { what: describeValue(value), why: 'whose memory was moved elsewhere' } : 'leaf'
}

function sharedFault(value: object): Fault {
  const remedy = ArrayBuffer.isView(value) ? 'Send a copy: it.slice().' : 'Send a copy of it, as bytes.'
  return { what: describeValue(value), why: 'whose memory is shared, which a job cannot do', remedy }
}

/** Why a value that is no object cannot travel. */
function faultOfPrimitive(value: unknown): Fault | undefined {
  return typeof value === 'function' || typeof value === 'symbol' ? { what: describeValue(value) } : undefined
}

/** Takes a part: its key or position, and what it is. `thrown`: why it cannot be read. `isKey`: a key of a map. */
type TakePart = (step: string | number, part: unknown, thrown?: Fault, isKey?: boolean) => void

/** Goes through the parts of a container, in V8's order. Holes are no parts, so a sparse array costs what it holds. */
export function eachPart(kind: Kind, value: object, take: TakePart): void {
  if (kind === 'array') return eachItem(value as unknown[], take)
  if (kind === 'object') {
    for (const key of Object.keys(value)) takeFrom(value, key, take)
    return
  }
  let index = 0
  if (kind === 'set') {
    for (const item of setValues(value)) take(index++, item)
    return
  }
  for (const [key, item] of mapEntries(value)) {
    take(index, key, undefined, true)
    take(typeof key === 'string' ? key : index, item)
    index++
  }
}

function eachItem(array: readonly unknown[], take: TakePart): void {
  let index = 0
  // A hole ends it: from there on the keys lead.
  for (; index < array.length; index++) {
    if (!(index in array)) break
    takeFrom(array, index, take)
  }
  if (index === array.length && hasOnlyItems(array)) return
  const keys = Object.keys(array)
  for (; index < keys.length; index++) takeFrom(array, keys[index] as string, take)
}

function takeFrom(holder: object, key: string | number, take: TakePart): void {
  let part: unknown
  try {
    part = (holder as Record<string | number, unknown>)[key]
  } catch (cause) {
    return take(key, undefined, getterThrew(cause))
  }
  take(key, part)
}

function getterThrew(cause: unknown): Fault {
  return { what: 'a property', why: `whose getter threw (${textOf(cause)})`, cause }
}

/** The entries of a map, whatever its own `entries` is. */
export const mapEntries = Function.prototype.call.bind(Map.prototype.entries) as (
  map: object,
) => Iterable<[unknown, unknown]>
/** The items of a set. */
export const setValues = Function.prototype.call.bind(Set.prototype.values) as (
  set: object,
) => Iterable<unknown>

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function textOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? thrown.message : String(thrown)
  } catch {
    return 'something that cannot be read'
  }
}

// A path that is longer than a line says how deep it is, and where it ends.
const LONGEST = 24

function pathTo(what: string, holders: Holders, holder: object | undefined, last: string): string[] {
  const steps = [last]
  let levels = 0
  for (let inner = holder; inner !== undefined; levels++) {
    const outer = holders.get(inner)
    if (outer !== undefined && steps.length < LONGEST) steps.unshift(stepTo(outer, inner))
    inner = outer
  }
  if (levels > LONGEST) steps.unshift(`…(${levels - LONGEST} levels)…`)
  steps.unshift(what)
  return steps
}

/** The place of an object in the one that holds it. */
function stepTo(holder: object, value: object): string {
  const kind = kindOf(holder)
  let found: string | undefined
  if (typeof kind === 'string') {
    eachPart(kind, holder, (step, part, _, isKey) => {
      if (part === value) found ??= stepText(kind, step, isKey)
    })
  }
  return found ?? ''
}

function stepText(kind: Kind, step: string | number, isKey = false): string {
  if (kind === 'map')
    return isKey ? `.key(${step})` : `.get(${typeof step === 'string' ? JSON.stringify(step) : step})`
  return kind === 'object' ? `.${step}` : `[${step}]`
}
