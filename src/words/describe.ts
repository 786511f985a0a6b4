/** Values in words, for messages. */

/** Says what a value is in an error message, shortly and without throwing on hostile input. */
export function describeValue(value: unknown): string {
  if (value === null) return 'null'
  const type = typeof value
  if (type === 'string') {
    const text = value as string
    return text.length > 80 ? `${JSON.stringify(text.slice(0, 80))}...` : JSON.stringify(text)
  }
  if (type === 'number' || type === 'boolean' || type === 'undefined') return String(value)
  if (type === 'bigint') return `${value}n`.length > 40 ? 'a large bigint' : `${value}n`
  if (type === 'function') return 'a function'
  if (type === 'symbol') return 'a symbol'
  try {
    if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : `an array of ${value.length}`
    const name: unknown = Object.getPrototypeOf(value)?.constructor?.name
    if (typeof name !== 'string' || name === 'Object' || name === '') return 'an object'
    return `${/^[AEIO]/i.test(name) ? 'an' : 'a'} ${name.slice(0, 80)}`
  } catch {
    return 'an object'
  }
}

/**
 * A value within a sentence. Errors are made by callers too, in tests for example: whatever they are given, the error
 * itself must come about.
 */
export function asText(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : describeValue(value)
}

/** A list that is walked through, whatever was given as one. */
export function asList<Item>(value: readonly Item[]): readonly Item[] {
  try {
    return Array.isArray(value) ? [...value] : []
  } catch {
    return []
  }
}

/** What an object has under a key; undefined for what is no object, or throws when it is asked. */
export function memberOf(value: unknown, key: PropertyKey): unknown {
  try {
    // Not Reflect.get, which looks every time as if it had never seen the like.
    return typeof value === 'object' && value !== null
      ? (value as Record<PropertyKey, unknown>)[key]
      : undefined
  } catch {
    return undefined
  }
}
