/**
 * A value as a flat table of its containers, for what structured clone's bytes would maim or could not hold: errors with all
 * that they say, and nesting of any depth. Each container is a row, which names the containers in it by their row; so nothing
 * recurses, and shared references and cycles are kept. The table itself is shallow, and V8 writes it.
 *
 * Inside an error, what cannot travel is left out, leaf by leaf: a socket on an error must not cost its code.
 */
import { describeValue, NotSerializableError } from '../words/errors.ts'
import { define, type ErrorText, isError, makeError, partsOf } from './error-parts.ts'
import { isPlainObject } from './platform-objects.ts'
import { canTravel, eachPart, type Kind, kindOf } from './survey.ts'

/** Containers by their number in a row. */
const KINDS: readonly Kind[] = ['object', 'array', 'map', 'set', 'error', 'shared']
const ERROR = 4
const SHARED = 5

/** How an error is made again. */
type Like = 'error' | 'aggregate' | 'dom'

/** The containers in a container: place, row, place, row. */
type Links = (string | number)[]
/** What is in a container itself, and its containers. */
type Contents = readonly [data: object, links?: Links | undefined]
/** An error's own text comes first where the row has it. */
type ErrorRow = readonly [
  kind: number,
  like: Like,
  name: string | undefined,
  message?: string,
  stack?: string | undefined,
  shown?: Contents | undefined,
  hidden?: Contents | undefined,
]
type Row = readonly [kind: number, data: object, links?: Links] | ErrorRow

/** Where a part is: outside of errors nothing that cannot travel is left by the survey; inside of one it is left out. */
type Side = 'outside' | 'inside'

/** How much is looked at to tell whether the instances of classes in an error can travel as a whole. */
const MOST_LOOKED = 20_000
const LONGEST_TEXT = 200
/** Properties of an error that say something by being there at all. */
const TELLING = new Set(['cause', 'error', 'suppressed'])

/** The table of an object. `text`: an error's own text is left to whoever keeps it elsewhere. */
export function toTable(root: object, text: 'with' | 'without' = 'with'): unknown {
  return new TableMaker().make(root, text === 'without')
}

class TableMaker {
  readonly #rowOf = new Map<object, number>()
  readonly #queue: { value: object; kind: Kind; side: Side }[] = []
  readonly #travels = new Map<object, boolean>()
  #looked = 0

  make(root: object, isBare: boolean): Row[] {
    const kind = isError(root) ? 'error' : kindOf(root)
    if (typeof kind !== 'string' || kind === 'leaf') throw new TypeError('It is no container.')
    this.#place(root, kind, 'outside')
    const rows: Row[] = []
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[rows.length]) {
      const { value, kind: own, side } = next
      rows.push(
        own === 'error'
          ? this.#errorRow(value as Error, isBare && rows.length === 0)
          : own === 'shared'
            ? // Of shared memory only views can be written.
              [SHARED, new Uint8Array(value as SharedArrayBuffer)]
            : this.#contents(own, value, side),
      )
    }
    return rows
  }

  #place(value: object, kind: Kind, side: Side): number {
    const known = this.#rowOf.get(value)
    if (known !== undefined) return known
    const row = this.#queue.push({ value, kind, side }) - 1
    this.#rowOf.set(value, row)
    return row
  }

  #contents(kind: Kind, value: object, side: Side): Row {
    const data: unknown[] | Record<string, unknown> = kind === 'object' ? {} : []
    const links: Links = []
    if (kind === 'array') (data as unknown[]).length = (value as unknown[]).length
    const isGathered = kind === 'map' || kind === 'set'
    eachPart(kind, value, (step, part, thrown) => {
      const key = isGathered ? (data as unknown[]).length : step
      if (thrown === undefined && isLeaf(part)) setOwn(data, key, part)
      else this.#put(data, links, key, part, thrown === undefined ? side : 'inside', kind !== 'object')
    })
    return links.length === 0 ? [KINDS.indexOf(kind), data] : [KINDS.indexOf(kind), data, links]
  }

  #errorRow(error: Error, isBare: boolean): ErrorRow {
    const { text, isDomException, shown, hidden } = partsOf(error)
    const errors = hidden.get('errors') ?? shown.get('errors')
    const isAggregate = areErrors(errors, hidden.has('errors'))
    const like = isDomException ? 'dom' : isAggregate ? 'aggregate' : 'error'
    const record = (entries: ReadonlyMap<string, unknown>): Contents | undefined => {
      if (entries.size === 0) return undefined
      const data = {}
      const links: Links = []
      for (const [key, value] of entries) this.#put(data, links, key, value, 'inside', TELLING.has(key))
      return links.length === 0 ? [data] : [data, links]
    }
    if (isBare) return [ERROR, like, undefined, '', undefined, record(shown), record(hidden)]
    const { name, message, stack } = text
    if (shown.size === 0 && hidden.size === 0) return [ERROR, like, name, message, stack]
    return [ERROR, like, name, message, stack, record(shown), record(hidden)]
  }

  /** `keeps`: what cannot travel leaves its text. */
  #put(data: object, links: Links, key: string | number, part: unknown, side: Side, keeps: boolean): void {
    const kind = isLeaf(part) ? 'leaf' : this.#kindOf(part, side)
    if (kind === undefined) {
      if (side === 'outside') throw new NotSerializableError(`…${key}`, describeValue(part))
      if (keeps) setOwn(data, key, shownAs(part))
    } else if (kind === 'leaf' || (kind === 'shared' && ArrayBuffer.isView(part))) setOwn(data, key, part)
    else {
      // Holds the key's place among the others.
      setOwn(data, key, 0)
      links.push(key, this.#place(part as object, kind, side))
    }
  }

  /** Undefined for what cannot travel. */
  #kindOf(part: unknown, side: Side): Kind | undefined {
    if (typeof part !== 'object' || part === null) return undefined
    const kind = kindOf(part)
    if (typeof kind !== 'string' || (kind === 'shared' && side === 'inside')) return undefined
    // An instance of a class travels whole or not at all: half of a socket is of no use to anybody.
    if (kind === 'object' && side !== 'outside' && !isPlainObject(part) && !this.#canTravel(part))
      return undefined
    return kind
  }

  #canTravel(instance: object): boolean {
    let answer = this.#travels.get(instance)
    if (answer === undefined) {
      const found = canTravel(instance, MOST_LOOKED - this.#looked)
      this.#looked += found.looked
      answer = found.answer
      this.#travels.set(instance, answer)
    }
    return answer
  }
}

/** True for what is written as it is: numbers and text, most of what there is. */
function isLeaf(part: unknown): boolean {
  const type = typeof part
  return type === 'object' ? part === null : type !== 'function' && type !== 'symbol'
}

/** The text of what cannot travel. */
export function shownAs(value: unknown): string {
  try {
    if (typeof value === 'symbol' || typeof value === 'function') return String(value).slice(0, LONGEST_TEXT)
    const text = String(value)
    return /^\[object .*\]$/.test(text) ? describeValue(value) : text.slice(0, LONGEST_TEXT)
  } catch {
    return describeValue(value)
  }
}

/** Makes the value of a table again. `text`: the root's, where the table is without it. */
export function fromTable(table: unknown, text?: ErrorText): unknown {
  const rows = table as readonly Row[]
  const made = rows.map((row) => shellOf(row, text))
  for (const [index, row] of rows.entries()) fill(row, made, made[index] as object)
  return made[0]
}

/** What a row is the content of; whatever names the row can have it before it is filled. */
function shellOf(row: Row, text: ErrorText | undefined): object {
  if (isErrorRow(row)) {
    const [, like, name = 'Error', message = '', stack] = row
    return makeError(row[2] === undefined && text !== undefined ? text : { name, message, stack }, like)
  }
  if (row[0] === SHARED) return (row[1] as Uint8Array<SharedArrayBuffer>).buffer
  const kind = KINDS[row[0]]
  return kind === 'map' ? new Map() : kind === 'set' ? new Set() : row[1]
}

function fill(row: Row, made: readonly object[], into: object): void {
  if (isErrorRow(row)) {
    for (const [contents, isShown] of [
      [row[5], true],
      [row[6], false],
    ] as const) {
      if (contents === undefined) continue
      for (const [key, value] of Object.entries(linked(contents, made)))
        define(into as Error, key, value, isShown)
    }
    return
  }
  const [, own, links] = row
  const data = linked([own, links], made)
  if (into instanceof Map) {
    const entries = data as unknown[]
    for (let index = 0; index < entries.length; index += 2) into.set(entries[index], entries[index + 1])
  } else if (into instanceof Set) for (const item of data as unknown[]) into.add(item)
}

function isErrorRow(row: Row): row is ErrorRow {
  return row[0] === ERROR
}

function linked([data, links]: Contents, made: readonly object[]): object {
  if (links === undefined) return data
  for (let index = 0; index < links.length; index += 2)
    setOwn(data, links[index] as string, made[links[index + 1] as number])
  return data
}

/** Sets an own property, whatever its name is. */
function setOwn(data: object, key: string | number, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(data, key, { value, enumerable: true, writable: true, configurable: true })
  else (data as Record<string | number, unknown>)[key] = value
}

/** True for the `errors` of an AggregateError: what the language hides is one whatever it holds. */
function areErrors(errors: unknown, isHidden: boolean): boolean {
  try {
    return Array.isArray(errors) && (isHidden || errors.every(isError))
  } catch {
    return false
  }
}
