/**
 * What a handler is given besides its payload: an object of its own, with nothing of the library on it. Whatever a
 * handler writes there, freezes or takes away stays with that object.
 *
 * The members are own and enumerable, so that `{ ...ctx, db }` has all of them. To make them takes about a microsecond,
 * several times what an empty job costs. A handler that declares no second parameter mostly has no use for it, so it
 * gets an object that is filled at the first look.
 */
import type { HandlerContext, HandlerLog, NestedJobOptions } from '../src/rules/handler.ts'
import type { Attempt } from './attempt.ts'

// Taken now: a handler may replace it.
const LazyProxy = Proxy

/** The context of an attempt for a handler that declares so many parameters. */
export function contextFor(attempt: Attempt, parameters: number): HandlerContext {
  return parameters > 1
    ? fullContext(attempt)
    : (new LazyProxy(new Unfilled(attempt), traps) as object as HandlerContext)
}

function fullContext(attempt: Attempt): HandlerContext {
  const context = {
    id: attempt.id,
    name: attempt.name,
    attempt: attempt.attempt,
    progress: (value: unknown) => attempt.progress(value),
    log: logOf(attempt),
    enqueue: (task: unknown, payload?: unknown, options?: NestedJobOptions) =>
      attempt.enqueue(task, payload, options),
    transfer: (result: unknown, buffers: readonly ArrayBuffer[]) => attempt.transfer(result, buffers),
    requestId: attempt.requestId,
    traceparent: attempt.traceparent,
    baggage: attempt.baggage,
  }
  defineProperty(context, makeSignal, { value: () => attempt.signal, configurable: true })
  return defineProperty(context, 'signal', signal) as object as HandlerContext
}

const { defineProperty } = Object
/** What makes the signal: found on the context itself, or through whatever was put around it. */
const makeSignal: unique symbol = Symbol('makeSignal')

/**
 * The signal is made at its first use: an AbortSignal costs several times what all the rest does. One accessor for all
 * contexts, since V8 makes an object slow that has one of its own.
 */
const signal: PropertyDescriptor & ThisType<{ [makeSignal]?: () => AbortSignal }> = {
  get() {
    return this[makeSignal]?.()
  },
  // A wrapper may put one of its own there, made from this one.
  set(value: AbortSignal) {
    defineProperty(this, 'signal', { value, enumerable: true, writable: true, configurable: true })
  },
  enumerable: true,
  configurable: true,
}

function logOf(attempt: Attempt): HandlerLog {
  return {
    debug: (message, data) => attempt.log('debug', message, data),
    info: (message, data) => attempt.log('info', message, data),
    warn: (message, data) => attempt.log('warn', message, data),
    error: (message, data) => attempt.log('error', message, data),
  }
}

/** Becomes the context of its attempt when it is looked at: what a proxy stands before. */
class Unfilled {
  #attempt: Attempt | undefined

  constructor(attempt: Attempt) {
    this.#attempt = attempt
  }

  static fill(this: void, target: object): object {
    if (!(#attempt in target) || target.#attempt === undefined) return target
    const full = fullContext(target.#attempt)
    target.#attempt = undefined
    Object.setPrototypeOf(target, Object.prototype)
    return Object.defineProperties(target, Object.getOwnPropertyDescriptors(full))
  }

  /** Printing looks past the proxy. */
  [Symbol.for('nodejs.util.inspect.custom')](): object {
    return { ...this }
  }
}

type TrapName = Exclude<keyof ProxyHandler<object>, 'apply' | 'construct'>
const operations: readonly TrapName[] = [
  'defineProperty',
  'deleteProperty',
  'get',
  'getOwnPropertyDescriptor',
  'getPrototypeOf',
  'has',
  'isExtensible',
  'ownKeys',
  'preventExtensions',
  'set',
  'setPrototypeOf',
]
const traps: ProxyHandler<object> = Object.fromEntries(
  operations.map((name) => {
    const perform = Reflect[name] as (target: object, ...rest: unknown[]) => unknown
    return [name, (target: object, ...rest: unknown[]) => perform(Unfilled.fill(target), ...rest)]
  }),
)
