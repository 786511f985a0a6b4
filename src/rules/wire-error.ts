/**
 * Errors across the thread boundary, whole: name, message, stack, code, cause, the errors of an AggregateError and
 * own properties. Structured clone keeps only the first three and the built-in class, so errors travel as data.
 */
import { NonErrorThrownError } from '../words/errors.ts'
import { decode, type Encoded, encode } from './codec.ts'

/** An error as data. `value` stands for a cause that is not an error. */
export interface WireError {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  readonly cause?: WireError | { readonly value: Encoded }
  readonly errors?: readonly WireError[]
  readonly props?: Encoded
}

const DEEPEST_CAUSE = 8
// `errors` goes along as itself only where it holds errors; elsewhere it is a property like any other.
const APART = new Set(['name', 'message', 'stack', 'cause'])

/** Turns whatever was thrown into data. Never throws: what cannot be read or cannot travel is left out. */
export function toWireError(thrown: unknown, depth = 0): WireError {
  const error = isError(thrown) ? thrown : new NonErrorThrownError(thrown)
  const cause = read(error, 'cause')
  const errors = read(error, 'errors')
  const isAggregate = depth < DEEPEST_CAUSE && Array.isArray(errors) && errors.every(isError)
  const props = ownProps(error, isAggregate)
  return {
    name: textOf(error, 'name') ?? 'Error',
    message: textOf(error, 'message') ?? '',
    stack: textOf(error, 'stack'),
    ...(cause !== undefined && depth < DEEPEST_CAUSE ? { cause: wireCause(cause, depth) } : {}),
    ...(isAggregate ? { errors: errors.slice(0, 32).map((inner) => toWireError(inner, depth + 1)) } : {}),
    ...(props === undefined ? {} : { props }),
  }
}

// An error of another realm (a vm context, for example) is no `instanceof Error` here, but it is one.
function isError(thrown: unknown): thrown is Error {
  try {
    return thrown instanceof Error || Object.prototype.toString.call(thrown) === '[object Error]'
  } catch {
    return false
  }
}

function wireCause(cause: unknown, depth: number): WireError | { value: Encoded } {
  if (isError(cause)) return toWireError(cause, depth + 1)
  try {
    return { value: encode(cause, 'cause') }
  } catch {
    return { value: encode(printed(cause), 'cause') }
  }
}

function ownProps(error: Error, isAggregate: boolean): Encoded {
  const props: Record<string, unknown> = {}
  for (const key of keysOf(error)) {
    if (APART.has(key) || (isAggregate && key === 'errors')) continue
    try {
      const value = Reflect.get(error, key)
      encode(value, key)
      props[key] = value
    } catch {
      // A property that cannot travel (a socket, a function) must not cost the user the error itself.
    }
  }
  // Some built-in errors carry `code` on the prototype.
  const code = read(error, 'code')
  if ((typeof code === 'string' || typeof code === 'number') && !('code' in props)) props['code'] = code
  return Object.keys(props).length > 0 ? encode(props, 'error') : undefined
}

function keysOf(error: Error): readonly string[] {
  try {
    return Object.keys(error)
  } catch {
    return []
  }
}

function read(error: Error, key: string): unknown {
  try {
    return Reflect.get(error, key)
  } catch {
    return undefined
  }
}

function textOf(error: Error, key: string): string | undefined {
  const value = read(error, key)
  return typeof value === 'string' ? value : undefined
}

function printed(value: unknown): string {
  try {
    return String(value)
  } catch {
    return 'a value that cannot travel'
  }
}

const BUILT_IN: Readonly<Record<string, new (message: string) => Error>> = {
  TypeError,
  RangeError,
  SyntaxError,
  ReferenceError,
  EvalError,
  URIError,
}

/** Makes the error again: a built-in class where the name says so, with its own name, stack, code and cause. */
export function fromWireError(wire: WireError): Error {
  const error = make(wire)
  if (error.name !== wire.name) define(error, 'name', wire.name)
  define(error, 'stack', wire.stack ?? `${wire.name}: ${wire.message}`)
  if (wire.cause)
    define(
      error,
      'cause',
      'value' in wire.cause ? decode(wire.cause.value) : fromWireError(wire.cause as WireError),
    )
  if (wire.props !== undefined) {
    for (const [key, value] of Object.entries(decode(wire.props) as Record<string, unknown>)) {
      Object.defineProperty(error, key, { value, enumerable: true, writable: true, configurable: true })
    }
  }
  return error
}

function make(wire: WireError): Error {
  if (wire.errors) return new AggregateError(wire.errors.map(fromWireError), wire.message)
  const Class = Object.hasOwn(BUILT_IN, wire.name) ? BUILT_IN[wire.name] : undefined
  return new (Class ?? Error)(wire.message)
}

function define(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, { value, enumerable: false, writable: true, configurable: true })
}
