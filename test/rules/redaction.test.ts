import { describe, expect, test } from 'vitest'
import { SecretNames } from '../../src/rules/redaction/names.ts'
import { Paths } from '../../src/rules/redaction/paths.ts'
import { redactValue, secretsIn } from '../../src/rules/redaction/redact.ts'
import { TextRedaction } from '../../src/rules/redaction/texts.ts'
import { defineTask } from '../../src/rules/task.ts'

const none = new SecretNames([], false)

function redact(value: unknown, paths: readonly string[], names = none): unknown {
  return redactValue(value, { names, paths: new Paths(paths) }, (text) => text)
}

const X = '[redacted]'

describe('a path', () => {
  test.each<[string, unknown, unknown]>([
    [
      'card.number',
      { card: { number: 1, name: 'a' }, number: 2 },
      { card: { number: X, name: 'a' }, number: 2 },
    ],
    [
      '*.token',
      { a: { token: 1 }, token: 2, b: { c: { token: 3 } } },
      { a: { token: X }, token: 2, b: { c: { token: 3 } } },
    ],
    ['items[*].secret', { items: [{ secret: 1 }, { open: 2 }] }, { items: [{ secret: X }, { open: 2 }] }],
    ['items.1', { items: ['a', 'b'] }, { items: ['a', X] }],
    ['items[0]', { items: ['a', 'b'] }, { items: [X, 'b'] }],
    ['["a.b"].c', { 'a.b': { c: 1 } }, { 'a.b': { c: X } }],
    ['**.iban', { iban: 1, a: [{ b: { iban: 2 } }] }, { iban: X, a: [{ b: { iban: X } }] }],
    ['a.**.z', { a: { z: 1, b: { z: 2 } }, z: 3 }, { a: { z: X, b: { z: X } }, z: 3 }],
    ['*', { a: 1, b: { c: 2 } }, { a: X, b: X }],
    ['map.key', { map: new Map([['key', 1]]) }, { map: new Map([['key', X]]) }],
  ])('%s hides what it leads to, and nothing else', (path, value, expected) => {
    const before = structuredClone(value)
    expect(redact(value, [path])).toEqual(expected)
    expect(value, 'the value itself').toEqual(before)
  })

  test('that leads nowhere leaves the very value', () => {
    const value = { card: {} }
    expect(redact(value, ['card.number', 'other.*.x'])).toBe(value)
  })

  test.each(['', 'a..b', '.a', 'a.', 'a[', 'a[b]', '**', 'a.**', 'a b.*c'])(
    '"%s" is refused by defineTask',
    (path) => {
      expect(() => defineTask({ name: 'x', handler: new URL('file:///x.js'), redact: [path] })).toThrow(
        /expected a path such as 'card\.number'/,
      )
    },
  )
})

describe('a secret name', () => {
  const names = new SecretNames(['iban'])

  test.each([
    'password',
    'userPassword',
    'ACCESS_TOKEN',
    'X-Api-Key',
    'set-cookie',
    'Authorization',
    'iban',
    'I-BAN',
    'cvv',
  ])('hides %s at any depth', (name) => {
    expect(redact({ a: [{ [name]: 'x' }] }, [], names)).toEqual({ a: [{ [name]: X }] })
  })

  test.each(['maxTokens', 'tokens', 'passwordless', 'keyboard', 'key', 'compass', 'author', 'clientIban'])(
    'leaves %s',
    (name) => {
      expect(redact({ [name]: 'x' }, [], names)).toEqual({ [name]: 'x' })
    },
  )

  test('leaves whether there is one', () => {
    expect(redact({ hasPassword: true, token: null }, [], names)).toEqual({ hasPassword: true, token: null })
  })
})

describe('redaction', () => {
  test('keeps circles and shared parts, and hides on every way that leads to them', () => {
    const card: Record<string, unknown> = { number: 1 }
    const value = { first: card, second: { card }, self: undefined as unknown }
    value.self = value
    const shown = redact(value, ['second.card.number']) as typeof value
    expect(shown.self).toBe(shown)
    expect(shown.first).toBe(shown.second.card)
    expect(shown.first).toEqual({ number: X })
  })

  test('reaches an error’s own properties, its cause and what it aggregates', () => {
    const inner = Object.assign(new TypeError('inner'), { token: 'x' })
    const error = new AggregateError([inner], 'outer', { cause: { password: 'y' } })
    const shown = redact(error, [], new SecretNames()) as AggregateError
    expect(shown).toBeInstanceOf(AggregateError)
    expect(shown.message).toBe('outer')
    expect(shown.cause).toEqual({ password: X })
    expect(shown.errors[0]).toMatchObject({ message: 'inner', token: X })
    expect(inner.token).toBe('x')
  })

  test('goes through what is nested by thousands, and takes time in proportion to the size', () => {
    let deep: Record<string, unknown> = { token: 'x' }
    for (let level = 0; level < 20_000; level++) deep = { deep, also: deep }
    expect(redact(deep, ['**.token', '*.*.deep.**.token']) === deep).toBe(false)
  })

  test('has no prototype of its own set through a key', () => {
    const shown = redact(JSON.parse('{"__proto__": {"a": 1}, "token": "x"}'), [], new SecretNames()) as object
    expect(Object.keys(shown)).toEqual(['__proto__', 'token'])
    expect(Reflect.get({}, 'a')).toBeUndefined()
  })
})

describe('a text', () => {
  const names = new SecretNames()
  const texts = (payload: unknown): TextRedaction =>
    new TextRedaction(names, secretsIn(payload, { names, paths: new Paths(['card.number']) }))

  test.each([
    ['card 4242424242 was declined', { card: { number: 4_242_424_242 } }, `card ${X} was declined`],
    ['a/b"c in a URL: a%2Fb%22c', { token: 'a/b"c' }, `${X} in a URL: ${X}`],
    ['of several, abcdef before abcd', { token: 'abcd', password: 'abcdef' }, `of several, ${X} before ${X}`],
    ['GET /x?api_key=abc&page=2', {}, `GET /x?api_key=${X}&page=2`],
    ['{"accessToken": "abc", "n": 1}', {}, `{"accessToken": "${X}", "n": 1}`],
    ['authorization=Bearer abc.def; x', {}, `authorization=${X}; x`],
    ['postgres://me:p@ss@host/db failed', {}, `postgres://me:${X}@host/db failed`],
    ['Unexpected token: x', {}, 'Unexpected token: x'],
    ['a cat sat', { token: 'cat' }, 'a cat sat'],
  ])('%s', (text, payload, expected) => {
    expect(texts(payload).hide(text)).toBe(expected)
  })

  test('with more secrets than can be looked for is not shown at all', () => {
    const payload = Array.from({ length: 1001 }, (_, n) => ({ token: `secret-${n}` }))
    expect(texts(payload).hide('anything')).toBe(X)
  })
})
