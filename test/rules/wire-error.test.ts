import { createContext, runInContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { fromWireError, toWireError } from '../../src/rules/wire-error.ts'
import { isUnrecoverable, UnrecoverableError } from '../../src/words/errors.ts'

/** Across and back, as structured clone has it between threads. */
const travel = (thrown: unknown): Error => fromWireError(structuredClone(toWireError(thrown)))

describe('an error keeps', () => {
  test('its name, message, stack, code and other own properties', () => {
    class PaymentError extends Error {
      override name = 'PaymentError'
      code = 'E_CARD'
      details = { retryAt: new Date(0), tries: [1, 2] }
    }
    const error = new PaymentError('declined')
    expect(travel(error)).toMatchObject({
      name: 'PaymentError',
      message: 'declined',
      stack: error.stack,
      code: 'E_CARD',
      details: { retryAt: new Date(0), tries: [1, 2] },
    })
  })

  test.each([TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError])(
    'its built-in class: %o',
    (Class) => {
      const error = travel(new Class('built in'))
      expect(error).toBeInstanceOf(Class)
      expect(error.message).toBe('built in')
    },
  )

  test('its causes, errors or not, as deep as is reasonable', () => {
    const error = new Error('outer', { cause: new TypeError('inner', { cause: { plain: true } }) })
    expect(travel(error)).toMatchObject({
      cause: { name: 'TypeError', message: 'inner', cause: { plain: true } },
    })
    const endless = new Error('endless')
    endless.cause = endless
    expect(travel(endless)).toMatchObject({ cause: { cause: { message: 'endless' } } })
  })

  test('the errors of an AggregateError', () => {
    const error = travel(
      new AggregateError([new TypeError('one'), new Error('two')], 'both'),
    ) as AggregateError
    expect(error).toBeInstanceOf(AggregateError)
    expect(error.errors.map(({ name, message }) => [name, message])).toEqual([
      ['TypeError', 'one'],
      ['Error', 'two'],
    ])
  })

  test('an `errors` property of another kind as it is', () => {
    const error = Object.assign(new Error('invalid'), { errors: [{ field: 'name', rule: 'required' }] })
    expect(travel(error)).toMatchObject({ errors: [{ field: 'name', rule: 'required' }] })
  })

  test('itself when it comes from another realm', () => {
    const error = travel(runInContext('new RangeError("elsewhere")', createContext({})))
    expect(error).toBeInstanceOf(RangeError)
    expect(error.message).toBe('elsewhere')
  })

  test('that a retry is in vain', () => {
    expect(isUnrecoverable(travel(new UnrecoverableError('give up')))).toBe(true)
    expect(isUnrecoverable(travel(new Error('try again')))).toBe(false)
  })
})

describe('an error keeps, besides', () => {
  test('a chain of causes and a list of errors of any length', () => {
    let chained = new Error('0')
    for (let at = 1; at < 5000; at++) chained = new Error(String(at), { cause: chained })
    let back: unknown = travel(chained)
    let links = 0
    for (; back instanceof Error; back = back.cause) links++
    expect(links).toBe(5000)
    const many = new AggregateError(
      Array.from({ length: 100 }, (_, at) => new Error(String(at))),
      'many',
    )
    expect((travel(many) as AggregateError).errors).toHaveLength(100)
  })

  test('the codes of errors on its properties, and what of those can travel', () => {
    const socket = { write() {} }
    const original = Object.assign(new Error('pg'), { code: '23505', socket })
    const response = { status: 409, request: () => {}, headers: { etag: 'x' } }
    const error = Object.assign(new Error('outer'), { original, response, failures: [original, original] })
    const back = travel(error) as typeof error
    expect(back).toMatchObject({
      original: { code: '23505' },
      response: { status: 409, headers: { etag: 'x' } },
      failures: [{ code: '23505' }, { code: '23505' }],
    })
    expect(back.response).not.toHaveProperty('request')
    expect(back.failures[0]).toBe(back.original)
  })

  test('an instance of a class whole or not at all', () => {
    class Client {
      host = 'db'
      on = (): void => {}
    }
    class Point {
      x = 1
    }
    const back = travel(Object.assign(new Error('x'), { client: new Client(), at: new Point() }))
    expect(back).toMatchObject({ at: { x: 1 } })
    expect(back).not.toHaveProperty('client')
  })

  test('the members of an AggregateError that are no errors', () => {
    const back = travel(
      new AggregateError([Object.assign(new Error('a'), { code: 'E_A' }), 'text', () => 'source'], 'mixed'),
    )
    expect(back).toBeInstanceOf(AggregateError)
    expect((back as AggregateError).errors).toMatchObject([
      { code: 'E_A' },
      'text',
      expect.stringContaining('source'),
    ])
  })

  test('both errors of a SuppressedError, its kind from the platform or not', () => {
    const make = (error: Error, suppressed: Error): Error =>
      Object.defineProperties(new Error('s'), {
        name: { value: 'SuppressedError' },
        error: { value: error },
        suppressed: { value: suppressed },
      })
    const inner = make(Object.assign(new Error('b'), { code: 'EBODY' }), new Error('c'))
    expect(travel(make(Object.assign(new Error('a'), { code: 'EDISPOSE' }), inner))).toMatchObject({
      name: 'SuppressedError',
      error: { code: 'EDISPOSE' },
      suppressed: { error: { code: 'EBODY' }, suppressed: { message: 'c' } },
    })
  })

  test('that it is a DOMException, with its message', () => {
    const back = travel(new DOMException('gone', 'AbortError'))
    expect(back).toBeInstanceOf(DOMException)
    expect(back).toMatchObject({ name: 'AbortError', message: 'gone', code: 20 })
  })

  test('a code or status that its class tells, or that does not show', () => {
    class HttpError extends Error {
      get code(): string {
        return 'E_HTTP'
      }
    }
    const error = Object.defineProperty(new HttpError('x'), 'status', { value: 409 })
    expect(travel(error)).toMatchObject({ code: 'E_HTTP', status: 409 })
  })
})

describe('an error loses what cannot travel or be read, and nothing else', () => {
  test('a property with a function or a getter that throws', () => {
    const error = Object.assign(new Error('kept'), { socket: () => {}, code: 'E_KEPT' })
    Object.defineProperty(error, 'hostile', {
      enumerable: true,
      get() {
        throw new Error('hands off')
      },
    })
    const back = travel(error)
    expect(back).toMatchObject({ message: 'kept', code: 'E_KEPT' })
    expect(back).not.toHaveProperty('socket')
    expect(back).not.toHaveProperty('hostile')
  })

  test('a cause that cannot travel is kept as text', () => {
    expect(travel(new Error('outer', { cause: () => 'source' }))).toMatchObject({
      cause: expect.stringContaining('source'),
    })
  })

  test('a name or message that is no text', () => {
    const error = new Error('x')
    Object.defineProperties(error, { name: { value: 1 }, message: { value: null } })
    expect(travel(error)).toMatchObject({ name: 'Error', message: '' })
  })
})

test.each([undefined, null, 'text', 0, Symbol('s'), () => {}, { plain: true }])(
  'a thrown value that is no error becomes one: %o',
  (thrown) => {
    expect(travel(thrown)).toMatchObject({ name: 'NonErrorThrownError', code: 'ERR_NON_ERROR_THROWN' })
  },
)

test('a thrown proxy that throws at every touch becomes an error all the same', () => {
  const refuse = (): never => {
    throw new Error('hands off')
  }
  const hostile = new Proxy(new Error('inner'), {
    get: refuse,
    getPrototypeOf: refuse,
    ownKeys: refuse,
    has: refuse,
  })
  expect(travel(hostile)).toMatchObject({ code: 'ERR_NON_ERROR_THROWN' })
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  expect(travel(proxy)).toMatchObject({ code: 'ERR_NON_ERROR_THROWN' })
})
