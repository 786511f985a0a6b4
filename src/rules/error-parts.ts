/**
 * An error taken apart into what can travel, and made again: its class where it is a built-in one, its name, message and
 * stack, and all that it says besides: cause, errors, code, own properties, and what its class tells through getters.
 * Structured clone keeps only the class and the first three.
 */
import { types } from 'node:util'

/** An error's text. */
export interface ErrorText {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
}

/** An error in parts. */
export interface ErrorParts {
  readonly text: ErrorText
  readonly isDomException: boolean
  /** Own properties that show: those that are enumerable. */
  readonly shown: ReadonlyMap<string, unknown>
  /** Those that do not, such as `cause`, and what getters tell. */
  readonly hidden: ReadonlyMap<string, unknown>
}

const TEXT = new Set(['name', 'message', 'stack'])
/** Properties that the language itself hides, whatever they hold. Of others that hide only plain values travel. */
const LINKS = new Set(['cause', 'errors', 'error', 'suppressed'])
const BUILT_IN: Readonly<Record<string, new (message: string) => Error>> = {
  TypeError,
  RangeError,
  SyntaxError,
  ReferenceError,
  EvalError,
  URIError,
}

const PROTOTYPES = new Set<object>(
  [Error, AggregateError, ...Object.values(BUILT_IN)].map((Class) => Class.prototype),
)

/** True for errors of any realm, and for whatever else inherits from Error. A value that fights back is none. */
export function isError(value: unknown): value is Error {
  try {
    return types.isNativeError(value) || value instanceof Error
  } catch {
    return false
  }
}

/** Takes an error apart. What cannot be read is left out. */
export function partsOf(error: Error): ErrorParts {
  const shown = new Map<string, unknown>()
  const hidden = new Map<string, unknown>()
  const isDomException = isDom(error)
  for (const [key, isShown] of keysOf(error)) {
    if (TEXT.has(key)) continue
    const value = read(error, key)
    if (value === undefined) continue
    if (isShown) shown.set(key, value)
    else if (LINKS.has(key) || isPlain(value)) hidden.set(key, value)
  }
  if (!isDomException) addInherited(error, shown, hidden)
  const text = {
    name: textOf(error, 'name') ?? 'Error',
    message: textOf(error, 'message') ?? '',
    stack: textOf(error, 'stack'),
  }
  return { text, isDomException, shown, hidden }
}

/** Reads a property; undefined where that throws. */
function read(error: object, key: string): unknown {
  try {
    return Reflect.get(error, key)
  } catch {
    return undefined
  }
}

/** Makes an error again, without its properties: `addProperties` adds them. */
export function makeError({ name, message, stack }: ErrorText, like: 'error' | 'aggregate' | 'dom'): Error {
  // Its stack is at hand: to take another here is most of what an error costs.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  const error = madeLike(like, name, message)
  Error.stackTraceLimit = stackTraceLimit
  if (error.name !== name) define(error, 'name', name, false)
  define(error, 'stack', stack ?? `${name}: ${message}`, false)
  return error
}

function madeLike(like: 'error' | 'aggregate' | 'dom', name: string, message: string): Error {
  if (like === 'dom') return new DOMException(message, name)
  if (like === 'aggregate') return new AggregateError([], message)
  return new (Object.hasOwn(BUILT_IN, name) ? (BUILT_IN[name] as ErrorConstructor) : Error)(message)
}

/** Defines a property of an error that was made again. */
export function define(error: Error, key: string, value: unknown, isShown: boolean): void {
  Object.defineProperty(error, key, { value, enumerable: isShown, writable: true, configurable: true })
}

function isDom(error: Error): boolean {
  try {
    return error instanceof DOMException
  } catch {
    return false
  }
}

function keysOf(error: Error): readonly (readonly [string, boolean])[] {
  try {
    return Object.getOwnPropertyNames(error).map(
      (key) => [key, Object.prototype.propertyIsEnumerable.call(error, key)] as const,
    )
  } catch {
    return []
  }
}

function isPlain(value: unknown): boolean {
  return value === null || !['object', 'function', 'symbol', 'undefined'].includes(typeof value)
}

/** What the classes of an error say of it: a `code` on the prototype, a getter of its `status`. */
function addInherited(error: Error, shown: Map<string, unknown>, hidden: Map<string, unknown>): void {
  try {
    for (
      let prototype: unknown = Object.getPrototypeOf(error);
      typeof prototype === 'object' && prototype !== null && !isBuiltIn(prototype);
      prototype = Object.getPrototypeOf(prototype)
    ) {
      for (const key of Object.getOwnPropertyNames(prototype)) {
        if (TEXT.has(key) || key === 'constructor' || shown.has(key) || hidden.has(key)) continue
        const value = read(error, key)
        if (value !== undefined && isPlain(value)) hidden.set(key, value)
      }
    }
  } catch {
    // Whoever hides his prototype says nothing through it.
  }
}

/** True for the prototypes of the language, of any realm: below them is nothing that an error says of itself. */
function isBuiltIn(prototype: object): boolean {
  if (PROTOTYPES.has(prototype)) return true
  const Class: unknown = Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value
  return (
    typeof Class === 'function' && /\{\s*\[native code\]\s*\}$/.test(Function.prototype.toString.call(Class))
  )
}

function textOf(error: Error, key: string): string | undefined {
  const value = read(error, key)
  return typeof value === 'string' ? value : undefined
}
