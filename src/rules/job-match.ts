/**
 * Whether what a job says fits what somebody looks for: its error, its payload, its texts. For the event loop's side of
 * every broker, and for the journal's thread.
 */
import { type Encoded, readOrError, type Snapshot } from './codec.ts'
import { Moved } from './moved.ts'
import { fromWireError, type WireError } from './wire-error.ts'

/** What is looked for in the contents of jobs. */
export interface ContentQuery {
  readonly requestId?: string
  readonly error?: string
  readonly payload?: Readonly<Record<string, unknown>>
  readonly text?: string
}

/** What is looked at of one job. */
export interface Content {
  readonly id: string
  readonly task: string
  readonly key: string | undefined
  readonly requestId: string | undefined
  readonly reason: string | undefined
  error(): ErrorWords | undefined
  readonly payload: Encoded | Moved | Snapshot
}

/** What is looked at of an error. */
export interface ErrorWords {
  readonly name: string
  readonly message: string
  readonly code: string | undefined
}

/** The words of an error as it is kept. Its code is looked for when somebody asks. */
export function wordsOf(error: WireError | Error): ErrorWords {
  const { name, message } = error
  return {
    name,
    message,
    get code() {
      if (!(error instanceof Error) && error.more === undefined) return undefined
      const code: unknown = Reflect.get(error instanceof Error ? error : fromWireError(error), 'code')
      return typeof code === 'string' ? code : undefined
    },
  }
}

type Fits = (job: Content) => boolean

// Of a payload that is no text, so many parts are looked at.
const MOST_PARTS = 10_000

/** Tells whether a job's contents fit; undefined when the query does not ask for contents. */
export function contentMatcher({ requestId, error, payload, text }: ContentQuery): Fits | undefined {
  const all: Fits[] = []
  if (requestId !== undefined) all.push((job) => job.requestId === requestId)
  if (error !== undefined) all.push(errorMatcher(error))
  if (payload !== undefined) all.push(payloadMatcher(payload))
  if (text !== undefined) all.push(textMatcher(text))
  if (all.length === 0) return undefined
  return (job) => all.every((fits) => fits(job))
}

/** Tells whether a name is one of these, in which `*` stands for any characters. */
export function nameMatcher(names: readonly string[]): (name: string) => boolean {
  const exact = new Set(names.filter((name) => !name.includes('*')))
  const patterns = names.filter((name) => name.includes('*')).map((name) => globOf(name))
  return (name) => exact.has(name) || patterns.some((fits) => fits(name))
}

/** A pattern in which `*` stands for any characters; in time that grows with the length of the text alone. */
function globOf(pattern: string): (text: string) => boolean {
  const [first = '', ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return (text) => text === pattern
  return (text) => {
    if (!text.startsWith(first)) return false
    let at = first.length
    for (const part of rest) {
      const found = text.indexOf(part, at)
      if (found === -1) return false
      at = found + part.length
    }
    return text.length - last.length >= at && text.endsWith(last)
  }
}

function errorMatcher(pattern: string): Fits {
  const low = pattern.toLowerCase()
  if (pattern.includes('*')) {
    const fits = globOf(low)
    return anyOfError((words) =>
      [words.name, words.message, words.code].some((word) => fits(word?.toLowerCase() ?? '')),
    )
  }
  return anyOfError(
    (words) =>
      words.name.toLowerCase() === low ||
      words.message.toLowerCase().includes(low) ||
      words.code?.toLowerCase() === low,
  )
}

function anyOfError(fits: (words: ErrorWords) => boolean): Fits {
  return (job) => {
    const words = job.error()
    return words !== undefined && fits(words)
  }
}

function payloadMatcher(fields: Readonly<Record<string, unknown>>): Fits {
  const wanted = Object.entries(fields)
  // Text that must be somewhere in a payload that is JSON: most jobs need not be parsed.
  const traces = wanted.flatMap(([path, value]) => [...tracesOf(path.split('.').at(-1)), ...tracesOf(value)])
  return ({ payload }) => {
    if (payload === undefined) return false
    if (typeof payload === 'string' && !traces.every((trace) => payload.includes(trace))) return false
    const value = readable(payload)
    return wanted.every(([path, expected]) => fitsField(value, path, expected))
  }
}

/** What JSON text holds that has such a value; nothing where it may be written in several ways. */
function tracesOf(value: unknown): string[] {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
    return [JSON.stringify(String(value)).slice(1, -1)]
  }
  return []
}

/** Whether a value has a field at a path with this value: of a field whose name has dots as well. */
function fitsField(value: unknown, path: string, expected: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (has(value, path) && fitsValue(fieldOf(value, path), expected)) return true
  for (let dot = path.indexOf('.'); dot !== -1; dot = path.indexOf('.', dot + 1)) {
    const first = path.slice(0, dot)
    if (has(value, first) && fitsField(fieldOf(value, first), path.slice(dot + 1), expected)) return true
  }
  return false
}

function has(value: object, field: string): boolean {
  return value instanceof Map ? value.has(field) : Object.hasOwn(value, field)
}

function fieldOf(value: object, field: string): unknown {
  return value instanceof Map ? value.get(field) : Reflect.get(value, field)
}

function fitsValue(value: unknown, expected: unknown): boolean {
  if (Array.isArray(value) && !Array.isArray(expected)) return value.some((one) => fitsValue(one, expected))
  if (value instanceof Set) return [...value].some((one) => fitsValue(one, expected))
  if (isPlain(expected)) {
    return Object.entries(expected).every(([field, inner]) => fitsField(value, field, inner))
  }
  if (Array.isArray(expected)) {
    return (
      Array.isArray(value) &&
      expected.length === value.length &&
      expected.every((one, at) => fitsValue(value[at], one))
    )
  }
  return readsAs(value) === readsAs(expected)
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

/** How a value reads that is no object; a symbol of its own for an object, which equals nothing. */
function readsAs(value: unknown): unknown {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString()
  return typeof value === 'object' && value !== null ? Symbol('an object') : String(value)
}

function textMatcher(text: string): Fits {
  const low = text.toLowerCase()
  const holds = (word: string | undefined): boolean => word?.toLowerCase().includes(low) ?? false
  // As JSON has it.
  const inJson = JSON.stringify(low).slice(1, -1)
  return (job) => {
    const { id, task, key, requestId, reason, payload } = job
    if ([id, task, key, requestId, reason].some(holds)) return true
    const words = job.error()
    if (words !== undefined && [words.name, words.code, words.message].some(holds)) return true
    if (typeof payload === 'string') return payload.toLowerCase().includes(inJson)
    return payload !== undefined && someText(readable(payload), holds)
  }
}

/** Whether a text, a number or the name of a field anywhere in a value fits. */
function someText(value: unknown, holds: (word: string) => boolean): boolean {
  const seen = new Set<unknown>()
  const open: unknown[] = [value]
  for (let parts = 0; open.length > 0 && parts < MOST_PARTS; parts++) {
    const part = open.pop()
    if (typeof part !== 'object' || part === null) {
      if (part !== undefined && holds(String(part))) return true
    } else if (!seen.has(part)) {
      seen.add(part)
      for (const inner of partsOf(part)) open.push(inner)
    }
  }
  return false
}

function partsOf(part: object): Iterable<unknown> {
  if (ArrayBuffer.isView(part)) return []
  if (part instanceof Date) return [readsAs(part)]
  if (part instanceof Map) return [...part].flat()
  if (part instanceof Set || Array.isArray(part)) return part
  return Object.entries(part).flat()
}

/** A payload as it is looked at; undefined for one that cannot be read. */
function readable(payload: Encoded | Moved | Snapshot): unknown {
  if (payload instanceof Moved) {
    try {
      return payload.copy('the payload')
    } catch {
      return undefined
    }
  }
  const value = readOrError(payload, 'the payload')
  return value instanceof Error ? undefined : value
}
