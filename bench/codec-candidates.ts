/** Five ways to carry a payload to a thread. */
import { deserialize, serialize } from 'node:v8'
import { parse, stringify } from 'devalue'
import { decode, type Encoded, encode } from '../src/rules/codec.ts'

/** One way. `size` is in bytes, undefined where there is no encoded form. */
export interface Candidate {
  readonly name: string
  encode(value: unknown): unknown
  decode(encoded: unknown): unknown
  size(encoded: unknown): number | undefined
}

const length = (encoded: unknown): number | undefined =>
  typeof encoded === 'string' ? Buffer.byteLength(encoded) : (encoded as Uint8Array | undefined)?.byteLength

/** Ours first. */
export const candidates: readonly Candidate[] = [
  {
    name: 'aftertask',
    encode: (value) => encode(value, 'payload'),
    decode: (encoded) => decode(encoded as Encoded),
    size: length,
  },
  {
    name: 'v8.serialize',
    encode: serialize,
    decode: (encoded) => deserialize(encoded as Buffer),
    size: length,
  },
  { name: 'structuredClone', encode: structuredClone, decode: (value) => value, size: () => undefined },
  {
    name: 'JSON with tags',
    encode: (value) => JSON.stringify(value, tag),
    decode: (encoded) => JSON.parse(encoded as string, untag),
    size: length,
  },
  {
    name: 'devalue',
    encode: (value) => stringify(value),
    decode: (encoded) => parse(encoded as string),
    size: length,
  },
]

// The value as it was, before JSON.stringify called a toJSON on it.
function tag(this: unknown, key: string, read: unknown): unknown {
  const value = Reflect.get(this as object, key)
  switch (typeof value) {
    case 'bigint':
      return { $bigint: value.toString() }
    case 'undefined':
      return { $undefined: 0 }
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { $number: Object.is(value, -0) ? '-0' : String(value) }
    case 'object':
      if (value instanceof Date) return { $date: value.getTime() }
      if (value instanceof Map) return { $map: [...value] }
      if (value instanceof Set) return { $set: [...value] }
      if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') }
      return read
    default:
      return read
  }
}

function untag(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const [mark, ...others] = Object.keys(value)
  if (mark === undefined || others.length > 0 || !mark.startsWith('$')) return value
  const inner: unknown = Reflect.get(value, mark)
  switch (mark) {
    case '$bigint':
      return BigInt(inner as string)
    case '$undefined':
      return undefined
    case '$number':
      return Number(inner)
    case '$date':
      return new Date(inner as number)
    case '$map':
      return new Map(inner as [unknown, unknown][])
    case '$set':
      return new Set(inner as unknown[])
    case '$bytes':
      return new Uint8Array(Buffer.from(inner as string, 'base64'))
    default:
      return value
  }
}
