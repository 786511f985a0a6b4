/**
 * What the machinery of a thread stands on, taken before any handler is imported: a module may replace timers, methods
 * of prototypes and globals for its own ends (fake timers do), and the thread has to go on telling outcomes.
 */
import { Buffer } from 'node:buffer'
import { performance } from 'node:perf_hooks'
import { MessagePort } from 'node:worker_threads'
import { clockZero } from '../src/words/clock.ts'

export const { setTimeout, clearTimeout, setImmediate, AbortController } = globalThis
export const { load, store, compareExchange } = Atomics

/** The zero of this thread's clock: a module may replace the clock before the runner is made. */
export const zero = clockZero()

/** Milliseconds on this thread's monotonic clock. */
export const now: () => number = performance.now.bind(performance)

const { apply } = Reflect
const { then } = Promise.prototype
const OwnPromise = Promise
const { byteLength } = Buffer
const { write: writeInto } = Buffer.prototype
const { postMessage } = MessagePort.prototype
const { captureStackTrace } = Error
const abortController = globalThis.AbortController.prototype.abort

const { reallyExit } = process as typeof process & { reallyExit(code: number): never }

/** A promise and what settles it. */
export function withResolvers<Value>(): PromiseWithResolvers<Value> {
  let resolve!: PromiseWithResolvers<Value>['resolve']
  let reject!: PromiseWithResolvers<Value>['reject']
  const promise = new OwnPromise<Value>((...both) => {
    resolve = both[0]
    reject = both[1]
  })
  return { promise, resolve, reject }
}

/** A promise of the language's own, whatever the global is. */
export async function resolved(): Promise<void> {}

/** Resolves in a further turn of the loop. */
export function turn(): Promise<void> {
  const { promise, resolve } = withResolvers<void>()
  setImmediate(resolve)
  return promise
}

/** Settles as the first of these does. */
export function race<Value>(first: Promise<Value>, second: Promise<Value>): Promise<Value> {
  return new OwnPromise<Value>((resolve, reject) => {
    apply(then, first, [resolve, reject])
    apply(then, second, [resolve, reject])
  })
}

/** Sees to it that a rejection of which nobody else hears is none that has escaped. */
export function hush(promise: Promise<unknown>): void {
  apply(then, promise, [undefined, () => {}])
}

/** Ends this thread, with no listener asked. */
export function endThread(): never {
  return apply(reallyExit, process, [1])
}

/** Posts on a port, whatever became of the method. */
export function post(
  port: MessagePort,
  message: unknown,
  transfer?: readonly import('node:worker_threads').Transferable[],
): void {
  apply(postMessage, port, transfer === undefined ? [message] : [message, transfer])
}

/** Bytes that a text takes. */
export function bytesOf(text: string): number {
  return byteLength(text)
}

/** Writes a text at a place of some bytes; returns how many it took. */
export function write(bytes: Buffer, text: string, at: number): number {
  return apply(writeInto, bytes, [text, at, 'utf8'])
}

/** Aborts a controller. False when it cannot be: its signal was frozen, for example. */
export function abort(controller: AbortController, reason: unknown): boolean {
  try {
    apply(abortController, controller, [reason])
    return true
  } catch {
    return false
  }
}

/** Where the caller of `callee` stands, as a line of a stack trace; empty when nothing tells. */
export function callerOf(callee: (...args: never[]) => unknown): string {
  try {
    const { stackTraceLimit } = Error
    const at = { stack: '' }
    Error.stackTraceLimit = 1
    captureStackTrace(at, callee)
    Error.stackTraceLimit = stackTraceLimit
    return String(at.stack)
  } catch {
    return ''
  }
}
