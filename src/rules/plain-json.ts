/** Tells whether a value is plain JSON data, which is the question that every payload and result is asked first. */
import { hasOnlyItems } from './array-keys.ts'

// Deep enough for real data; a deeper value takes the other way, which does not recurse in JavaScript.
const DEEPEST = 64
// So many objects are compared one by one, which costs less than a Set.
const FEW = 24

/** The objects that were met: few in a list, many in a set. Made when a second object is met. */
let few: object[] | undefined
let many: Set<object> | undefined

/**
 * True when JSON would give back an equal value: then nothing in it stands in two places either. Has no side effect but
 * reading. May throw what reading throws.
 */
export function isJson(value: unknown): boolean {
  // A getter may encode something else in between.
  const [outerFew, outerMany] = [few, many]
  few = undefined
  many = undefined
  try {
    return isJsonValue(value, 0)
  } finally {
    few = outerFew
    many = outerMany
  }
}

function isJsonValue(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
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

/** False for an object that was met before: JSON would make two of it, and of many such a tree without end. */
function isNew(value: object): boolean {
  if (many !== undefined) {
    const { size } = many
    return many.add(value).size > size
  }
  if (few === undefined) few = [value]
  else if (few.includes(value)) return false
  else if (few.push(value) === FEW) many = new Set(few)
  return true
}

function isJsonArray(value: readonly unknown[], depth: number): boolean {
  if (Object.getPrototypeOf(value) !== Array.prototype) return false
  for (const item of value) if (!isJsonValue(item, depth + 1)) return false
  // An array may carry named properties; JSON drops them, structured clone does not.
  return hasOnlyItems(value)
}

function isJsonObject(value: object, depth: number): boolean {
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  const record = value as Record<string, unknown>
  for (const key in record) {
    if (!Object.hasOwn(record, key)) return false
    // A toJSON of the user's own would change what is sent.
    if (key === 'toJSON' || !isJsonValue(record[key], depth + 1)) return false
  }
  return true
}
