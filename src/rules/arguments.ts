/**
 * How a wrong argument is refused, the same everywhere: the function that was called, what it was given, what it
 * expects, and what to write instead. Whatever a caller gives, none of this throws anything else.
 */
import { types } from 'node:util'
import { describeValue, OptionsInvalidError } from '../words/errors.ts'
import { isThenable } from '../words/thenables.ts'

/** The refusal of one argument. `call` is the function as the caller wrote it, `remedy` a sentence on what to write. */
export function refusal(
  call: string,
  argument: string,
  value: unknown,
  expected: string,
  remedy = '',
): OptionsInvalidError {
  const last = remedy === '' ? '' : ` ${remedy}`
  const what = value === undefined ? 'is missing' : `is ${describeValue(value)}`
  const path = argument.replace(/^the /, '')
  return new OptionsInvalidError(`${call}: ${argument} ${what}; expected ${expected}.${last}`, path)
}

/** Longest name of a key or a schedule: PostgreSQL has room for it in an index. */
const LONGEST_KEY = 500

/** What is asked of text that brokers keep and compare, in words. */
export const KEY_EXPECTED = `a non-empty string of at most ${LONGEST_KEY} characters, without NUL and lone surrogates`

/** True for text that every broker can keep and compare. */
export function isKey(value: unknown): value is string {
  if (typeof value !== 'string' || value.length === 0 || value.length > LONGEST_KEY) return false
  return value.isWellFormed() && !value.includes('\0')
}

/** The id of a job, or a refusal: a handle is not one. */
export function expectJobId(call: string, id: unknown): string {
  if (typeof id === 'string') return id
  const isHandle = describeValue(id) === 'a Job'
  throw refusal(call, 'the id', id, 'the id of a job, a string', isHandle ? 'Give job.id.' : '')
}

/** A function that answers at once, or a refusal: nobody would wait for the promise of another. */
export function isSynchronous(value: unknown): boolean {
  return typeof value === 'function' && !types.isAsyncFunction(value) && !types.isGeneratorFunction(value)
}

/** An array, also one of another realm. What fights back is none. */
export function isList(value: unknown): value is readonly unknown[] {
  try {
    return Array.isArray(value)
  } catch {
    return false
  }
}

/** An object whose own properties are what it says: no array, map, date, promise or the like, of any realm. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  try {
    if (Array.isArray(value) || isThenable(value)) return false
    // Nearly all are plain objects of this realm.
    if (Object.getPrototypeOf(value) === Object.prototype) return true
    const tag = Object.prototype.toString.call(value)
    return tag === '[object Object]' || tag === '[object Module]'
  } catch {
    return false
  }
}

/** As `instanceof`, also for what fights back. */
export function isA<Instance>(
  value: unknown,
  Class: abstract new (...args: never[]) => Instance,
): value is Instance {
  try {
    return value instanceof Class
  } catch {
    return false
  }
}

/** Reads what a caller gave, and refuses it when a getter or a proxy throws. */
export function readSafely<Value>(call: string, argument: string, read: () => Value): Value {
  try {
    return read()
  } catch (cause) {
    if (isA(cause, OptionsInvalidError)) throw cause
    throw new OptionsInvalidError(`${call}: ${argument} cannot be read: ${messageOf(cause)}.`, '', { cause })
  }
}

/** What an error says, for the message of another. */
export function messageOf(error: unknown): string {
  try {
    if (error instanceof Error || types.isNativeError(error)) return `${error.message}`
  } catch {
    // An error may fight back too.
  }
  return describeValue(error)
}
