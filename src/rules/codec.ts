/**
 * The one codec of payloads and results, on every broker: encoded once when a job is added (which is also the
 * snapshot that later mutation cannot reach), decoded in the thread.
 *
 * Plain JSON data becomes a JSON string: the cheapest form to make, to post and to store. Whatever JSON would
 * change (Date, Map, Set, BigInt, bytes, undefined, NaN, -0, cycles, holes) goes through `v8.serialize`, which is
 * the structured clone algorithm as bytes. `bench/codec` holds the comparison with the alternatives.
 */
import { deserialize, serialize } from 'node:v8'
import { describeValue, NotSerializableError } from '../words/errors.ts'

/** An encoded value: a JSON string, the bytes of `v8.serialize`, or undefined for `undefined`. */
export type Encoded = string | Uint8Array | undefined

// Deep enough for real data; a deeper value takes the other way, which does not recurse in JavaScript.
const DEEPEST = 64

/**
 * Encodes a value. `what` names it in the error.
 *
 * @throws NotSerializableError naming the path of the first value that cannot travel.
 */
export function encode(value: unknown, what: string): Encoded {
  if (value === undefined) return undefined
  try {
    return isJson(value, 0) ? JSON.stringify(value) : serialize(value)
  } catch (cause) {
    const fault = faultOf(value, what)
    throw new NotSerializableError(fault?.path ?? what, fault?.what ?? describeValue(value), { cause })
  }
}

/** Decodes what `encode` made. */
export function decode(encoded: Encoded): unknown {
  if (typeof encoded === 'string') return JSON.parse(encoded)
  return encoded === undefined ? undefined : deserialize(encoded)
}

// True when JSON would give back an equal value. Must have no side effect but reading.
function isJson(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true
    case 'number':
      return value - value === 0 && !(value === 0 && 1 / value < 0)
    case 'object':
      if (value === null) return true
      if (depth > DEEPEST) return false
      return Array.isArray(value) ? isJsonArray(value, depth) : isJsonObject(value, depth)
    default:
      return false
  }
}

function isJsonArray(value: readonly unknown[], depth: number): boolean {
  if (Object.getPrototypeOf(value) !== Array.prototype) return false
  for (const item of value) if (!isJson(item, depth + 1)) return false
  // An array may carry named properties; JSON drops them, structured clone does not.
  return Object.keys(value).length === value.length
}

function isJsonObject(value: object, depth: number): boolean {
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  const record = value as Record<string, unknown>
  for (const key in record) {
    if (!Object.hasOwn(record, key)) return false
    // A toJSON of the user's own would change what is sent.
    if (key === 'toJSON' || !isJson(record[key], depth + 1)) return false
  }
  return true
}

// A value that fights back (a proxy that throws), or is nested too deeply to walk through, is at fault as a whole.
function faultOf(value: unknown, path: string): { path: string; what: string } | undefined {
  try {
    return findFault(value, path, new Set())
  } catch {
    return undefined
  }
}

// Walks to the first value that structured clone refuses, so that the error can say where it is.
function findFault(
  value: unknown,
  path: string,
  seen: Set<unknown>,
): { path: string; what: string } | undefined {
  if (typeof value === 'function' || typeof value === 'symbol') return { path, what: describeValue(value) }
  if (typeof value !== 'object' || value === null || seen.has(value)) return undefined
  seen.add(value)
  const children: Iterable<readonly [string, unknown]> =
    value instanceof Map
      ? [...value].map(
          ([key, item], index) =>
            [`.get(${typeof key === 'string' ? JSON.stringify(key) : index})`, item] as const,
        )
      : value instanceof Set
        ? [...value].map((item, index) => [`[${index}]`, item] as const)
        : Object.keys(value).map(
            (key) => [Array.isArray(value) ? `[${key}]` : `.${key}`, Reflect.get(value, key)] as const,
          )
  for (const [step, child] of children) {
    const fault = findFault(child, path + step, seen)
    if (fault) return fault
  }
  try {
    serialize(value)
    return undefined
  } catch {
    return { path, what: describeValue(value) }
  }
}
