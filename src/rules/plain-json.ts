/** Tells whether a value is plain JSON data, which is the question that every payload and result is asked first. */
import { hasOnlyItems } from './array-keys.ts'

// Deep enough for real data; a deeper value takes the other way, which does not recurse in JavaScript.
const DEEPEST = 64
// So many objects are compared one by one, which costs less than a Set.
const FEW = 24

/** The objects that were met: few in a list, many in a set. Made when a second object is met. */
let few: object[] | undefined
let many: Set<object> | undefined

/** Characters that may still come. What is counted is never more than JSON will have. */
let left = 0

/** Thrown for a value that is too large to be looked at any further. */
export const TOO_LARGE: unique symbol = Symbol('too large')

// What is shorter is not counted as long as there is little of it: that would cost more than to look at it.
const SHORT = 64
// So that what is left is a small integer to V8. No text is longer.
const MOST = 2 ** 30 - 1

/**
 * True when JSON would give back an equal value: then nothing in it stands in two places either. Has no side effect but
 * reading. May throw what reading throws.
 *
 * @throws TOO_LARGE as soon as it is certain that the text would have more than `most` characters.
 */
export function isJson(value: unknown, most: number): boolean {
  // A getter may encode something else in between.
  const [outerFew, outerMany, outerLeft] = [few, many, left]
  left = Math.min(most, MOST)
  few = undefined
  many = undefined
  try {
    return isJsonValue(value, 0)
  } finally {
    few = outerFew
    many = outerMany
    left = outerLeft
  }
}

function isJsonValue(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
      if (value.length > SHORT) take(value.length)
      return true
    case 'boolean':
      return true
    case 'number':
      return value - value === 0 && !(value === 0 && 1 / value < 0)
    case 'object':
      if (value === null) return true
      if (depth > DEEPEST || !isNew(value)) return false
      return Array.isArray(value) ? isJsonArray(value, depth) : isJsonObject(value, depth)
    default:
      return false
  }
}

function take(characters: number): void {
  left -= characters
  if (left < 0) throw TOO_LARGE
}

/** False for an object that was met before: JSON would make two of it, and of many such a tree without end. */
function isNew(value: object): boolean {
  if (many !== undefined) {
    const { size } = many
    take(1)
    return many.add(value).size > size
  }
  if (few === undefined) few = [value]
  else if (few.includes(value)) return false
  else if (few.push(value) === FEW) many = new Set(few)
  return true
}

function isJsonArray(value: readonly unknown[], depth: number): boolean {
  if (Object.getPrototypeOf(value) !== Array.prototype) return false
  // Each item with its comma.
  if (value.length > SHORT) take(2 * value.length)
  for (const item of value) if (!isJsonValue(item, depth + 1)) return false
  // An array may carry named properties; JSON drops them, structured clone does not.
  return hasOnlyItems(value)
}

function isJsonObject(value: object, depth: number): boolean {
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  const record = value as Record<string, unknown>
  let count = 0
  for (const key in record) {
    if (!Object.hasOwn(record, key)) return false
    // The key in quotes, a colon and a value.
    if (many !== undefined || ++count > SHORT) take(key.length + 4)
    // A toJSON of the user's own would change what is sent.
    if (key === 'toJSON' || !isJsonValue(record[key], depth + 1)) return false
  }
  return true
}
