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
const OWN = new Set(['name', 'message', 'stack', 'cause', 'errors'])

/** Turns whatever was thrown into data. Never throws: what cannot travel is left out. */
export function toWireError(thrown: unknown, depth = 0): WireError {
  const error = thrown instanceof Error || looksLikeError(thrown) ? thrown : new NonErrorThrownError(thrown)
  const { cause } = error as { cause?: unknown }
  const errors = Reflect.get(error, 'errors')
  const props = ownProps(error)
  return {
    name: text(() => error.name, 'Error'),
    message: text(() => error.message, ''),
    stack: text(() => error.stack, undefined),
    ...(cause !== undefined && depth < DEEPEST_CAUSE ? { cause: wireCause(cause, depth) } : {}),
    ...(Array.isArray(errors) && depth < DEEPEST_CAUSE
      ? { errors: errors.slice(0, 32).map((inner) => toWireError(inner, depth + 1)) }
      : {}),
    ...(props === undefined ? {} : { props }),
  }
}

// An error of another realm (a vm context, for example) is no `instanceof Error` here, but it is one.
function looksLikeError(thrown: unknown): thrown is Error {
  return Object.prototype.toString.call(thrown) === '[object Error]'
}

function wireCause(cause: unknown, depth: number): WireError | { value: Encoded } {
  if (cause instanceof Error || looksLikeError(cause)) return toWireError(cause, depth + 1)
  try {
    return { value: encode(cause, 'cause') }
  } catch {
    return {
      value: encode(
        text(() => String(cause), 'a value that cannot travel'),
        'cause',
      ),
    }
  }
}

function ownProps(error: Error): Encoded {
  const props: Record<string, unknown> = {}
  for (const key of Object.keys(error)) {
    if (OWN.has(key)) continue
    try {
      const value = Reflect.get(error, key)
      encode(value, key)
      props[key] = value
    } catch {
      // A property that cannot travel (a socket, a function) must not cost the user the error itself.
    }
  }
  // Some built-in errors carry `code` on the prototype.
  const code = Reflect.get(error, 'code')
  if ((typeof code === 'string' || typeof code === 'number') && !('code' in props)) props['code'] = code
  return Object.keys(props).length > 0 ? encode(props, 'error') : undefined
}

function text<T extends string | undefined>(read: () => unknown, fallback: T): string | T {
  try {
    const value = read()
    return typeof value === 'string' ? value : fallback
  } catch {
    return fallback
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
