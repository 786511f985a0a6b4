/** The codec against its alternatives: time, size, and what each keeps of a value. */
import { isDeepStrictEqual } from 'node:util'
import { type Candidate, candidates } from './codec-candidates.ts'
import { type Figure, type Findings, figure, type Grid } from './kit/findings.ts'
import { spread } from './kit/statistics.ts'
import { amount } from './kit/table.ts'

const ROUNDS = 9
const MILLISECONDS = 12

const visit = { url: '/products/42?ref=mail', status: 200 }
const order = {
  id: 'ord_7Hq2',
  lines: Array.from({ length: 20 }, (_, n) => ({
    sku: `sku-${n}`,
    amount: n + 1,
    price: 9.99 + n,
    gift: n % 3 === 0,
  })),
  customer: { name: 'Ada Lovelace', email: 'ada@example.com', tags: ['vip', 'eu'] },
  note: null,
}
const shapes: Readonly<Record<string, unknown>> = {
  'small: { url, status }': visit,
  'an order of 20 lines': order,
  'a text of 10 kB': { text: 'Lorem ipsum dolor sit amet. '.repeat(366) },
  'dates, a Map, a Set, a BigInt': {
    at: new Date(0),
    seen: new Map([
      ['a', 1],
      ['b', 2],
    ]),
    tags: new Set(['x', 'y']),
    size: 2n ** 70n,
  },
  '64 kB of bytes': { image: new Uint8Array(65_536).map((_, index) => index) },
}

const cyclic: { self?: unknown } = {}
cyclic.self = cyclic
const hostile: unknown = JSON.parse('{"__proto__":{"isAdmin":true},"constructor":1}')
const kept: Readonly<Record<string, unknown>> = {
  Date: new Date(5),
  Map: new Map([[{ a: 1 }, 2]]),
  Set: new Set([1, 'a']),
  BigInt: 2n ** 70n,
  bytes: new Uint8Array([1, 2, 3]),
  Float64Array: new Float64Array([0.5]),
  undefined: { a: undefined },
  NaN: { a: Number.NaN },
  '-0': { a: -0 },
  RegExp: /a+/gi,
  Error: new TypeError('no'),
  'a cycle': cyclic,
  '__proto__ as a key': hostile,
}

/** Measures the row. */
export default async function codec(): Promise<Findings> {
  const figures: Figure[] = []
  const lines = Object.entries(shapes).flatMap(([shape, value]) =>
    candidates.map((candidate) => {
      const encoded = candidate.encode(value)
      const encode = microseconds(() => candidate.encode(value))
      const decode = microseconds(() => candidate.decode(encoded))
      if (value === visit) {
        figures.push(
          figure(
            candidate.name,
            'encode and decode a small payload',
            'us',
            spread(encode.map((time, index) => time + (decode[index] ?? 0))),
          ),
        )
      }
      const size = candidate.size(encoded)
      return [
        shape,
        candidate.name,
        amount(spread(encode).median, 'us'),
        amount(spread(decode).median, 'us'),
        size === undefined ? '' : amount(size, 'bytes'),
      ]
    }),
  )
  const times: Grid = {
    title: 'Time and size',
    head: ['payload', 'codec', 'encode', 'decode', 'size'],
    lines,
  }
  return {
    figures,
    charts: [{ what: 'encode and decode a small payload', label: 'µs to encode and decode { url, status }' }],
    grids: [times, whatIsKept()],
    notes: [
      'structuredClone has no encoded form: its one call is counted as "encode", and a copy for every attempt would have to be made on the event loop.',
      'JSON with tags: JSON.stringify with a replacer that marks what JSON lacks, JSON.parse with a reviver.',
    ],
  }
}

function whatIsKept(): Grid {
  return {
    title: 'What comes back as it was',
    head: ['value', ...candidates.map(({ name }) => name)],
    lines: Object.entries(kept).map(([name, value]) => [
      name,
      ...candidates.map((each) => fate(each, value)),
    ]),
  }
}

function fate(candidate: Candidate, value: unknown): string {
  try {
    const back = candidate.decode(candidate.encode(value))
    if (Reflect.get(new Object(back), 'isAdmin') !== undefined) return 'POLLUTED'
    return isDeepStrictEqual(back, value) ? 'yes' : 'changed'
  } catch {
    return 'refused'
  }
}

/** Microseconds of one call, in several rounds. */
function microseconds(call: () => unknown): number[] {
  const calls = Math.max(1, Math.round(MILLISECONDS / timeOf(call, 200)))
  return Array.from({ length: ROUNDS }, () => timeOf(call, calls) * 1000)
}

/** Milliseconds of one call, over so many of them. */
function timeOf(call: () => unknown, calls: number): number {
  const began = performance.now()
  for (let done = 0; done < calls; done++) call()
  return (performance.now() - began) / calls
}
