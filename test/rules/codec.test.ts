import { EventEmitter } from 'node:events'
import { isDeepStrictEqual } from 'node:util'
import { createContext, runInContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { payloadBound } from '../../src/rules/bounds.ts'
import {
  decode,
  encode,
  encodeInMemory,
  encodeReadable,
  read,
  readPosted,
  Snapshot,
} from '../../src/rules/codec.ts'
import { fromFlat } from '../../src/rules/flat.ts'
import { toFlat } from '../../src/rules/flatten.ts'
import { NotSerializableError } from '../../src/words/errors.ts'

const roundTrip = (value: unknown): unknown => decode(encode(value, 'value'))

function refusal(value: unknown): NotSerializableError {
  try {
    encode(value, 'payload')
  } catch (error) {
    return error as NotSerializableError
  }
  throw new Error('It was not refused.')
}

describe('a value', () => {
  test('of JSON comes back equal, and travels as a string', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        expect(isDeepStrictEqual(roundTrip(value), structuredClone(value))).toBe(true)
      }),
    )
    expect(encode({ a: [1, 'two', null, true] }, 'value')).toBe('{"a":[1,"two",null,true]}')
  })

  const cloneable = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withSparseArray: true,
    withTypedArray: true,
    withNullPrototype: true,
  })

  test('of any cloneable kind comes back as structured clone gives it', () => {
    fc.assert(
      fc.property(cloneable, (value) => {
        expect(roundTrip(value)).toEqual(structuredClone(value))
      }),
    )
  })

  test('of any cloneable kind that is taken apart comes back as structured clone gives it, to each reader', () => {
    fc.assert(
      fc.property(cloneable, (value) => {
        const { lists } = toFlat(value, true) ?? {}
        if (lists === undefined) return
        expect(fromFlat(lists, false)).toEqual(structuredClone(value))
        expect(fromFlat(structuredClone(lists), true)).toEqual(structuredClone(value))
        expect(fromFlat(lists, false)).toEqual(structuredClone(value))
      }),
    )
  })

  test.each([
    ['undefined', undefined],
    ['NaN', Number.NaN],
    ['-0', -0],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['a Date', new Date(0)],
    ['an invalid Date', new Date(Number.NaN)],
    ['a RegExp', /x/gi],
    ['a property that is undefined', { a: undefined }],
    ['a hole', Object.assign(new Array(3), { 0: 1 })],
    ['a lone surrogate', '\ud800'],
    ['__proto__ as a key', JSON.parse('{"__proto__":{"polluted":true}}')],
    ['bytes', new Uint8Array([1, 2, 3])],
    ['an Error', new TypeError('inside')],
  ])('that JSON would change or refuse comes back: %s', (_, value) => {
    expect(roundTrip(value)).toStrictEqual(structuredClone(value))
    expect(Object.is(roundTrip(-0), -0)).toBe(true)
  })

  test('with cycles comes back with its cycles', () => {
    const value: { self?: unknown } = {}
    value.self = value
    const back = roundTrip(value) as { self: unknown }
    expect(back.self).toBe(back)
  })

  test('with a toJSON of its own travels as what it is', () => {
    expect(refusal({ toJSON: () => 'another' })).toBeInstanceOf(NotSerializableError)
  })

  test('in which a part stands twice keeps it one, and costs what it holds', () => {
    let value: object = { leaf: 1 }
    for (let level = 0; level < 60; level++) value = { left: value, right: value }
    let back = roundTrip(value) as { left: unknown; right: unknown }
    for (let level = 0; level < 60; level++) {
      expect(back.left).toBe(back.right)
      back = back.left as typeof back
    }
    const part = { id: 1 }
    const few = roundTrip({ one: part, other: part }) as { one: unknown; other: unknown }
    expect(few.one).toBe(few.other)
  })

  test.each([300, 3000])('nested %i levels deep is read with the stack of an event loop', (depth) => {
    let value: object = { leaf: 1 }
    for (let level = 0; level < depth; level++) value = { next: value }
    let back = roundTrip(value) as { next?: object; leaf?: number }
    for (let level = 0; level < depth; level++) back = back.next as typeof back
    expect(back).toEqual({ leaf: 1 })
  })

  test('keeps all that an error in it says, wherever it stands', () => {
    const error = Object.assign(new TypeError('no', { cause: new RangeError('why') }), { code: 'E_NO' })
    const back = roundTrip({ list: [error], map: new Map([['k', error]]), error }) as {
      list: [TypeError]
      map: Map<string, TypeError>
      error: TypeError
    }
    expect(back.error).toBeInstanceOf(TypeError)
    expect(back.error).toMatchObject({
      message: 'no',
      code: 'E_NO',
      stack: error.stack,
      cause: { message: 'why' },
    })
    expect(back.list[0]).toBe(back.error)
    expect(back.map.get('k')).toBe(back.error)
  })

  test('of another realm is what it is there', () => {
    const value: unknown = runInContext(
      '({ at: new Date(5), list: [1], map: new Map([[1, 2]]), error: new RangeError("x") })',
      createContext({}),
    )
    expect(roundTrip(value)).toMatchObject({
      at: new Date(5),
      list: [1],
      map: new Map([[1, 2]]),
      error: new RangeError('x'),
    })
  })

  test('of bytes has memory of its own, of the length that was sent', () => {
    const pool = Buffer.from('pooled')
    const back = roundTrip({
      pool,
      floats: Float32Array.of(0.5, 2),
      part: new Uint8Array(new ArrayBuffer(64), 3, 5),
    }) as {
      pool: Buffer
      floats: Float32Array
      part: Uint8Array
    }
    expect(Buffer.isBuffer(back.pool)).toBe(true)
    expect(back.pool.toString()).toBe('pooled')
    expect([back.pool, back.floats, back.part].map((bytes) => bytes.buffer.byteLength)).toEqual([6, 8, 5])
  })

  test('of a class loses its class, as structured clone has it', () => {
    class Money {
      amount = 3
    }
    expect(roundTrip({ price: new Money() })).toEqual({ price: { amount: 3 } })
  })

  test('is a snapshot: what happens to it later is not seen', () => {
    const value = { list: [1] }
    const encoded = encode(value, 'value')
    value.list.push(2)
    expect(decode(encoded)).toEqual({ list: [1] })
  })
})

describe('a large value', () => {
  /** Each way that a large value takes: to a thread as it was taken apart, to somebody who asks here, and as bytes. */
  const ways: readonly [string, (value: unknown) => unknown][] = [
    ['to a thread', (value) => readPosted(structuredClone(snapshotOf(value).lists), 'payload')],
    ['to a reader in this process', (value) => read(snapshotOf(value), 'payload')],
    ['to a store', (value) => decode(snapshotOf(value).plain('payload'))],
    ['as bytes', (value) => (decode(asBytes(value)) as { value: unknown }).value],
  ]

  function snapshotOf(value: unknown): Snapshot {
    const snapshot = encodeInMemory(value, 'payload')
    if (snapshot instanceof Snapshot) return snapshot
    throw new Error('It was not taken apart.')
  }

  /** Beside a text that is too long for JSON text. */
  function asBytes(value: unknown): Uint8Array {
    const encoded = encodeReadable({ text: 'x'.repeat(70_000), value }, 'result')
    if (encoded instanceof Uint8Array) return encoded
    throw new Error('It has become text.')
  }

  const rows = (count: number) =>
    Array.from({ length: count }, (_, id) => ({ id, name: `row ${id}`, at: { id } }))
  const shared = { one: true }
  const cycle: { rows: unknown; self?: unknown } = { rows: rows(300) }
  cycle.self = cycle
  const values: readonly [string, unknown][] = [
    ['a list of rows', rows(1000)],
    ['a long text', 'text '.repeat(1000)],
    ['a long text of two bytes a unit, with half of a pair', `\ud800${'ä€ '.repeat(1000)}`],
    ['a list of numbers', Array.from({ length: 5000 }, (_, index) => index / 3)],
    [
      'a list of all that is no object',
      Array.from({ length: 1000 }, (_, at) => [at, 'a', true, null, undefined, 1n][at % 6]),
    ],
    [
      'rows of many shapes',
      Array.from(
        { length: 999 },
        (_, at) => [{}, { '': at }, { 'a,b': at, c: 1 }, { a: at, 'b,c': 2 }][at % 4],
      ),
    ],
    ['a dictionary', Object.fromEntries(Array.from({ length: 2000 }, (_, at) => [`key ${at}`, { at }]))],
    [
      'keys that mean something to objects',
      Array.from({ length: 500 }, () => JSON.parse('{"__proto__":{"a":1},"constructor":2,"toJSON":3}')),
    ],
    [
      'parts that stand in several places',
      Array.from({ length: 1000 }, (_, id) => ({ id, shared, again: [shared] })),
    ],
    ['a cycle', cycle],
    [
      'dates, maps, sets and bytes',
      rows(300).map(({ id }) => ({
        at: new Date(id),
        map: new Map([[id, new Set([id])]]),
        bytes: Uint16Array.of(id),
        of: Buffer.from([id]),
      })),
    ],
  ]

  test.each(ways)('arrives %s as structured clone gives it', (_, through) => {
    for (const [name, value] of values) expect(through(value), name).toEqual(structuredCloneOf(value))
    const [first, second] = through(values[8]?.[1]) as { shared: object; again: object[] }[]
    expect(first?.shared).toBe(second?.again[0])
    const loop = through(cycle) as { self: unknown }
    expect(loop.self).toBe(loop)
  })

  // Structured clone makes a plain view of a Buffer.
  function structuredCloneOf(value: unknown): unknown {
    if (!Array.isArray(value) || value[0]?.of === undefined) return structuredClone(value)
    return value.map((row) => ({ ...structuredClone(row), of: Buffer.from(row.of) }))
  }

  test('is a snapshot: what happens to it later is not seen', () => {
    const list: unknown[] = [1, 2]
    const value = {
      list,
      at: new Date(5),
      bytes: new Uint8Array(20_000),
      few: Uint8Array.of(1),
      text: 'x'.repeat(5000),
    }
    const snapshot = snapshotOf(value)
    list.push(3)
    value.at.setTime(6)
    value.bytes[0] = 7
    value.few[0] = 7
    const arrived = read(snapshot, 'payload') as typeof value
    expect(arrived).toEqual({
      ...value,
      list: [1, 2],
      at: new Date(5),
      bytes: new Uint8Array(20_000),
      few: Uint8Array.of(1),
    })
    // What one reader does with it is not seen by the next.
    arrived.list.push(4)
    arrived.bytes[0] = 8
    expect(read(snapshot, 'payload')).toMatchObject({ list: [1, 2], bytes: new Uint8Array(20_000) })
  })

  test('has bytes with memory of their own, which is not shared', () => {
    const bytes = new Uint8Array(50_000).subarray(10, 40_010)
    const arrived = readPosted(structuredClone(snapshotOf({ bytes }).lists), 'payload') as {
      bytes: Uint8Array
    }
    expect(arrived.bytes.buffer).toBeInstanceOf(ArrayBuffer)
    expect(arrived.bytes.buffer.byteLength).toBe(40_000)
  })

  test('is refused with the path of what cannot travel, wherever that stands', () => {
    const value = rows(1000).map((row) => ({ ...row, more: row.id === 900 ? new URL('https://x.test') : 1 }))
    expect(() => encodeInMemory(value, 'payload')).toThrow(
      expect.objectContaining({ path: 'payload[900].more' }),
    )
    expect(() => asBytes(value)).toThrow(expect.objectContaining({ path: 'result.value[900].more' }))
  })

  test('is refused by its size as its text is, and counts with about as many bytes', () => {
    const text = 'x'.repeat(20_000)
    expect((encodeInMemory(text, 'payload', payloadBound('task', 20_002)) as string).length).toBe(20_002)
    const tooLarge = expect.objectContaining({ code: 'ERR_PAYLOAD_TOO_LARGE' })
    const refused: readonly unknown[] = [
      text,
      'ä'.repeat(10_001),
      rows(2000),
      new Uint8Array(20_002),
      [text],
      Array(10_001).fill(1),
    ]
    for (const value of refused) {
      expect(() => encodeInMemory(value, 'payload', payloadBound('task', 20_001))).toThrow(tooLarge)
    }
    expect(snapshotOf(text).bytes).toBe(20_002)
    expect(snapshotOf(rows(1000)).bytes / JSON.stringify(rows(1000)).length).toBeCloseTo(1, 0)
  })

  test('that was damaged on its way cannot be read, and says so', () => {
    // What is in it is not damaged: that is read whatever it is.
    const bytes = asBytes(rows(50))
    const from = bytes.length - 2000
    const kinds = new Set<unknown>()
    for (let at = from; at < bytes.length; at++) {
      const damaged = bytes.slice()
      damaged[at] = (damaged[at] as number) ^ 0xa5
      try {
        read(damaged, 'result')
      } catch (error) {
        kinds.add((error as Error).constructor)
      }
    }
    expect([...kinds]).toEqual([NotSerializableError])
  })
})

describe('a value that cannot travel is refused', () => {
  test.each([
    ['payload', () => {}, 'a function'],
    ['payload.a.b', { a: { b: Symbol('x') } }, 'a symbol'],
    ['payload[1]', [1, () => {}], 'a function'],
    ['payload.get("k").x', new Map([['k', { x: () => {} }]]), 'a function'],
    ['payload[0]', new Set([() => {}]), 'a function'],
    ['payload.when', { when: Promise.resolve() }, 'a Promise'],
    ['payload.weak', { weak: new WeakMap() }, 'a WeakMap'],
  ])('with the path of the first fault: %s', (path, value, what) => {
    const error = refusal(value)
    expect(error).toMatchObject({ code: 'ERR_NOT_SERIALIZABLE', path })
    expect(error.message).toContain(what)
  })

  test.each([
    ['url', new URL('https://x.test'), 'payload.url is a URL, which would arrive empty. Send url.href.'],
    ['h', new Headers(), 'payload.h is a Headers, which would arrive empty. Send Object.fromEntries(h).'],
    ['file', new File(['x'], 'y'), 'Send file.name and await file.bytes().'],
    ['ref', new WeakRef({}), 'Send ref.deref().'],
    ['req', new Request('https://x.test'), 'Send what you need of it: req.url'],
    ['bus', Object.assign(new EventEmitter(), { a: 1 }), 'Send what you need of it.'],
    ['form', new FormData(), 'which would arrive empty'],
    ['signal', new AbortController().signal, 'the handler has its own ctx.signal'],
    ['secret', new (class Secret { readonly #value = 1; get value() { return this.#value } })(), 'payload.secret is a Secret, which would arrive empty.'], // biome-ignore format: one thing
    [
      'url',
      Object.assign(new URL('https://x.test'), { a: 1 }),
      'payload.url is a URL, which would arrive empty.',
    ],
    ['words', new Int32Array(new SharedArrayBuffer(4)), 'whose memory is shared'],
  ])('with what to send in its place: %s', (key, value, message) => {
    expect(refusal({ [key]: value }).message).toContain(message)
  })

  test('with the path of a getter that throws, and its error as the cause', () => {
    const boom = new Error('boom')
    const total = { get sum() { throw boom } } // biome-ignore format: one thing
    expect(refusal({ total })).toMatchObject({ path: 'payload.total.sum', cause: boom })
  })

  test('with how deep it is, where hardly any code could walk through it', () => {
    let deep: object = {}
    for (let level = 0; level < 20_000; level++) deep = { deep }
    expect(refusal(deep).message).toMatch(/^payload is nested more than 5000 levels deep/)
  })

  test('as a whole where it fights back or is nested too deeply to walk through', () => {
    const hostile = new Proxy({}, { ownKeys: () => { throw new Error('no') }, getPrototypeOf: () => { throw new Error('no') } }) // biome-ignore format: one thing
    expect(refusal(hostile)).toMatchObject({ path: 'payload', cause: expect.any(Error) })
    let deep: object = {}
    for (let depth = 0; depth < 200_000; depth++) deep = { deep }
    expect(refusal(deep)).toMatchObject({ path: 'payload' })
  })
})
