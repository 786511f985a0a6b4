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
