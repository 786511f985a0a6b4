/**
 * Objects that would arrive maimed: what they are lies behind their class, in private fields or outside of JavaScript, and a
 * copy of their properties says nothing of it. For each kind a remedy: what to send in its place.
 */
import { EventEmitter } from 'node:events'
import { types } from 'node:util'

/** Names of the platform's classes: a class of a user's own may have one of them, so the class is compared as well. */
const GLOBALS = new Set(Object.getOwnPropertyNames(globalThis))

/** What to send, by class. `at` is what the value is called where it stands, such as `url`. */
const REMEDIES: Readonly<Record<string, (at: string) => string>> = {
  URL: (at) => `Send ${at}.href.`,
  URLSearchParams: (at) => `Send ${at}.toString().`,
  Headers: (at) => `Send Object.fromEntries(${at}).`,
  FormData: (at) => `Send [...${at}], with files as bytes.`,
  Request: (at) => `Send what you need of it: ${at}.url, ${at}.method, await ${at}.text().`,
  Response: (at) => `Send what you need of it: ${at}.status, await ${at}.text().`,
  Blob: (at) => `Send await ${at}.bytes().`,
  File: (at) => `Send ${at}.name and await ${at}.bytes().`,
  WeakRef: (at) => `Send ${at}.deref().`,
  Promise: (at) => `Send await ${at}.`,
  KeyObject: (at) => `Send ${at}.export().`,
  CryptoKey: () => 'Send the exported key.',
  AbortSignal: () => 'Give it as the option "signal"; the handler has its own ctx.signal.',
  ReadableStream: () => 'Read it first, or send the path or URL that it comes from.',
}

/** What to send in place of a value that cannot travel, if that can be told. `step`: the end of its path, such as `.url`. */
export function remedyFor(value: unknown, step: string): string | undefined {
  try {
    if (typeof value !== 'object' || value === null) return undefined
    if (types.isProxy(value)) return 'Send a plain copy: { ...it }.'
    const name = classOf(value)?.name ?? ''
    const at = /^\.?([\w$]+)$/.exec(step)?.[1] ?? 'it'
    if (Object.hasOwn(REMEDIES, name)) return REMEDIES[name]?.(at)
    return value instanceof EventEmitter ? 'Send what you need of it.' : undefined
  } catch {
    return undefined
  }
}

/** The class of an object, as its prototype names it. */
function classOf(value: object): { readonly name: string } | undefined {
  const Class: unknown = Reflect.get(Object.getPrototypeOf(value) ?? {}, 'constructor')
  return typeof Class === 'function' ? Class : undefined
}

/**
 * True for an object that is no plain one, and of which a copy of its properties would be nothing: it has none, or it belongs
 * to the platform, or it is a live one that others listen to.
 */
export function wouldArriveEmpty(value: object): boolean {
  if (value instanceof EventEmitter || Object.keys(value).length === 0) return true
  for (let prototype = Object.getPrototypeOf(value); prototype !== null; ) {
    const Class: unknown = Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value
    if (Class === Object) return false
    if (typeof Class === 'function' && isOfPlatform(Class)) return true
    prototype = Object.getPrototypeOf(prototype)
  }
  return false
}

// Reading a global makes Node load what is behind it, so its name has to fit first.
function isOfPlatform(Class: { readonly name: string }): boolean {
  const { name } = Class
  if (typeof name !== 'string') return false
  if (GLOBALS.has(name)) return Reflect.get(globalThis, name) === Class
  return Reflect.get(Reflect.get(globalThis, 'WebAssembly') ?? {}, name) === Class
}

/** True for an object that has no class: made by `{}`, `Object.create(null)`, or the same of another realm. */
export function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return true
  return (
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype as object, 'hasOwnProperty') &&
    Object.hasOwn(prototype as object, 'isPrototypeOf')
  )
}
