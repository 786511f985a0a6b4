/**
 * Encoded values as JSON that other tools can read: plain JSON data as it is, and whatever JSON cannot say as one property
 * whose name tells what it is.
 */
import { serialize } from 'node:v8'
import type { Encoded } from './codec.ts'

const BYTES = 'aftertask:bytes'
const TEXT = 'aftertask:json'

/** What is to be minded when a value is written as JSON. */
export interface ReadableOptions {
  /** JSON texts that mean something else where the value is kept. */
  readonly reserved?: readonly string[]
  /** The value is kept as PostgreSQL's jsonb. */
  readonly isJsonb?: boolean
  /** The order of properties matters also there. */
  readonly keepsOrder?: boolean
}

/** An encoded value as a JSON text. */
export function toReadable(value: Encoded, options: ReadableOptions = {}): string {
  const { reserved = [], isJsonb = false, keepsOrder = false } = options
  if (typeof value !== 'string') {
    const bytes = value ?? serialize(undefined)
    return JSON.stringify({ [BYTES]: Buffer.from(bytes).toString('base64') })
  }
  if (reserved.includes(value) || value.includes('"aftertask:')) return JSON.stringify({ [TEXT]: value })
  const kept = isJsonb ? inJsonb(value) : 'same'
  if (kept === 'same' || (kept === 'reordered' && !keepsOrder)) return value
  return `{"${TEXT}":${JSON.stringify(value)}${kept === 'refused' ? '' : `,"value":${value}`}}`
}

/** The encoded value of what `toReadable` made, once that has been parsed. */
export function fromReadable(kept: unknown): Encoded {
  if (typeof kept !== 'object' || kept === null) return JSON.stringify(kept)
  const [bytes, text] = [Reflect.get(kept, BYTES), Reflect.get(kept, TEXT)] as unknown[]
  if (typeof bytes === 'string') return Buffer.from(bytes, 'base64')
  return typeof text === 'string' ? text : JSON.stringify(kept)
}

/**
 * What PostgreSQL's jsonb makes of a JSON text: the same, the same with other orders of properties, or an error, since it
 * takes neither NUL nor half of a surrogate pair.
 */
export function inJsonb(text: string): 'same' | 'reordered' | 'refused' {
  if (/\\u(?:0000|d[89a-f])/i.test(text)) return 'refused'
  // Without a comma there is nothing to be sorted.
  return !text.includes(',') || isInOrder(JSON.parse(text)) ? 'same' : 'reordered'
}

/** Whether the properties are in the order of jsonb: shorter names first, those of one length by their bytes. */
function isInOrder(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (Array.isArray(value)) return value.every(isInOrder)
  const names = Object.keys(value).map((name) => Buffer.from(name))
  const isSorted = names.every((name, at) => {
    const before = names[at - 1]
    return before === undefined || before.length - name.length < 0 || isBefore(before, name)
  })
  return isSorted && Object.values(value).every(isInOrder)
}

function isBefore(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && Buffer.compare(one, other) < 0
}
