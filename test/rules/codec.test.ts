import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode, encode } from '../../src/rules/codec.ts'
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
        expect(roundTrip(value)).toEqual(structuredClone(value))
      }),
    )
    expect(encode({ a: [1, 'two', null, true] }, 'value')).toBe('{"a":[1,"two",null,true]}')
  })

  test('of any cloneable kind comes back as structured clone gives it', () => {
    fc.assert(
      fc.property(
        fc.anything({
          withBigInt: true,
          withDate: true,
          withMap: true,
          withSet: true,
          withSparseArray: true,
          withTypedArray: true,
          withNullPrototype: true,
        }),
        (value) => {
          expect(roundTrip(value)).toEqual(structuredClone(value))
        },
      ),
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

  test('as a whole where it fights back or is nested too deeply to walk through', () => {
    const hostile = new Proxy({}, { ownKeys: () => { throw new Error('no') }, getPrototypeOf: () => { throw new Error('no') } }) // biome-ignore format: one thing
    expect(refusal(hostile)).toMatchObject({ path: 'payload', cause: expect.any(Error) })
    let deep: object = {}
    for (let depth = 0; depth < 200_000; depth++) deep = { deep }
    expect(refusal(deep)).toMatchObject({ path: 'payload' })
  })
})
