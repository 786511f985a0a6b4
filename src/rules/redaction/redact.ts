/**
 * Hides what is secret in a value and in texts about it. A value is gone through once, and copied only where something of
 * it is hidden: whoever has the value itself keeps it as it was.
 */
import { types } from 'node:util'
import { isError } from '../error-parts.ts'
import type { SecretNames } from './names.ts'
import type { Paths, Progress } from './paths.ts'

/** Stands where something is hidden. */
export const HIDDEN = '[redacted]'

/** What is to be hidden. */
export interface Rules {
  readonly names: SecretNames
  readonly paths: Paths
}

/** A place in a value that holds others. */
type Container = object

/** What was found of one container. */
interface Found {
  /** How far paths have come here, on any way that leads here. */
  progress: Progress
  /** What is shown in place of its parts, by key. */
  shown: Map<string, string> | undefined
}

/** A value without what is secret in it: the same value where nothing is. `text`: what is shown of a text in it. */
export function redactValue<Value>(value: Value, rules: Rules, text: ShownText): Value {
  if (typeof value === 'string') return text(value) as Value
  if (!isContainer(value)) return value
  const found = look(value, rules, text)
  for (const { shown } of found.values()) if (shown !== undefined) return copyOf(found).get(value) as Value
  return value
}

/** The texts and numbers in a value that are hidden: what is not to be found in a text either. */
export function secretsIn(value: unknown, rules: Rules): Set<string> {
  const secrets = new Set<string>()
  if (!isContainer(value)) return secrets
  const seen = new Set<Container>()
  for (const [container, { shown }] of look(value, rules)) {
    if (shown === undefined) continue
    for (const [key, part] of partsOf(container)) if (shown.has(key)) collect(part, secrets, seen)
  }
  return secrets
}

type ShownText = (text: string) => string

function look(root: Container, rules: Rules, text?: ShownText): Map<Container, Found> {
  return new Look(rules, text).at(root)
}

/** Goes through a value, each container once for each stretch of a path that leads there. */
class Look {
  readonly #names: SecretNames
  readonly #paths: Paths
  readonly #text: ShownText | undefined
  readonly #found = new Map<Container, Found>()
  readonly #left: Container[] = []

  constructor({ names, paths }: Rules, text: ShownText | undefined) {
    this.#names = names
    this.#paths = paths
    this.#text = text
  }

  at(root: Container): Map<Container, Found> {
    this.#enter(root, this.#paths.start)
    for (let container = this.#left.pop(); container !== undefined; container = this.#left.pop()) {
      const here = this.#found.get(container) as Found
      for (const [key, part] of partsOf(container)) {
        const shown = this.#shownOf(here.progress, key, part)
        if (shown === undefined) continue
        here.shown ??= new Map()
        here.shown.set(key, shown)
      }
    }
    return this.#found
  }

  /** What is shown in place of a part; undefined for the part itself. */
  #shownOf(progress: Progress, key: string, part: unknown): string | undefined {
    if (part === undefined) return undefined
    const next = this.#paths.next(progress, key)
    if ((this.#names.has(key) && canBeSecret(part)) || this.#paths.isEnd(next)) return HIDDEN
    if (typeof part === 'string') {
      const shown = this.#text?.(part)
      return shown === part ? undefined : shown
    }
    if (isContainer(part)) this.#enter(part, next)
    return undefined
  }

  #enter(container: Container, progress: Progress): void {
    const known = this.#found.get(container)
    if (known === undefined) this.#found.set(container, { progress, shown: undefined })
    // Another way leads here, along which paths may have come further.
    else if (progress.some((at) => !known.progress.includes(at)))
      known.progress = [...new Set([...known.progress, ...progress])]
    else return
    this.#left.push(container)
  }
}

/** Copies what was found, without recursion: a value may be nested by thousands. */
function copyOf(found: ReadonlyMap<Container, Found>): Map<Container, Container> {
  const copies = new Map<Container, Container>()
  for (const container of found.keys()) copies.set(container, emptyLike(container))
  for (const [container, { shown }] of found) {
    const copy = copies.get(container) as Container
    const partOf = (key: string, part: unknown): unknown =>
      shown?.get(key) ?? copies.get(part as Container) ?? part
    if (container instanceof Map) {
      for (const [key, part] of container as Map<unknown, unknown>)
        (copy as Map<unknown, unknown>).set(key, partOf(keyOf(key), part))
    } else if (container instanceof Set) {
      for (const [key, part] of partsOf(container)) (copy as Set<unknown>).add(partOf(key, part))
    } else {
      for (const [key, part] of partsOf(container)) {
        const enumerable = Object.prototype.propertyIsEnumerable.call(container, key)
        const value = partOf(key, part)
        Object.defineProperty(copy, key, { value, enumerable, writable: true, configurable: true })
      }
    }
  }
  return copies
}

function emptyLike(container: Container): Container {
  if (Array.isArray(container)) return new Array(container.length)
  if (container instanceof Map) return new Map()
  if (container instanceof Set) return new Set()
  const prototype = Object.getPrototypeOf(container) as object | null
  if (!isError(container)) return Object.create(prototype) as object
  // One that `util.inspect` and loggers know as an error.
  return Object.setPrototypeOf(new Error(HIDDEN), prototype) as Error
}

const BESIDES = ['message', 'stack', 'name', 'cause', 'errors']

/** The parts of a container by their keys. What cannot be read has none. */
function partsOf(container: Container): readonly (readonly [string, unknown])[] {
  if (container instanceof Map) return [...container].map(([key, part]) => [keyOf(key), part] as const)
  if (container instanceof Set) return [...container].map((part, index) => [String(index), part] as const)
  try {
    const keys = Object.keys(container)
    const all = isError(container)
      ? [...keys, ...BESIDES.filter((key) => Object.hasOwn(container, key) && !keys.includes(key))]
      : keys
    return all.map((key) => [key, Reflect.get(container, key)] as const)
  } catch {
    return []
  }
}

function keyOf(key: unknown): string {
  return typeof key === 'string' || typeof key === 'number' ? String(key) : ''
}

function isContainer(value: unknown): value is Container {
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value) || value instanceof Map || value instanceof Set || isError(value)) return true
  return !(
    ArrayBuffer.isView(value) ||
    types.isAnyArrayBuffer(value) ||
    types.isDate(value) ||
    types.isBoxedPrimitive(value)
  )
}

/** That a password is set is no secret, nor that there is none. */
function canBeSecret(value: unknown): boolean {
  return value !== null && typeof value !== 'boolean'
}

// What is shorter is found in the middle of other words.
const SHORTEST = 4

function collect(root: unknown, secrets: Set<string>, seen: Set<Container>): void {
  const left: unknown[] = [root]
  while (left.length > 0) {
    const value = left.pop()
    if (isContainer(value)) {
      if (!seen.has(value)) for (const [, part] of partsOf(value)) left.push(part)
      seen.add(value)
    } else if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint') {
      const text = String(value)
      if (text.length >= SHORTEST) secrets.add(text)
    }
  }
}
