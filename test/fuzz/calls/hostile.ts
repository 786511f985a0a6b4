/** Values that nobody should give to a function, and some that it takes. */
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { z } from 'zod'
import { defineTask } from '../../../src/rules/task.ts'

/** What a function or a getter of the caller's own throws: it may come back where it was thrown on purpose. */
export class CallersOwn extends Error {}

const handler = new URL('./handler.ts', import.meta.url)

/** A task with any payload, and one whose payload is checked. */
export const tasks = {
  any: defineTask({ name: 'any', payload: z.any(), handler }),
  strict: defineTask({ name: 'strict', payload: z.object({ to: z.string() }), handler }),
  none: defineTask({ name: 'none', handler }),
}

function throwOwn(): never {
  throw new CallersOwn('of the caller')
}

function deep(levels: number): unknown {
  let value: unknown = null
  for (let level = 0; level < levels; level++) value = [value]
  return value
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

function detached(): ArrayBuffer {
  const buffer = new ArrayBuffer(8)
  structuredClone(buffer, { transfer: [buffer] })
  return buffer
}

function aborted(): AbortSignal {
  return AbortSignal.abort(new CallersOwn('aborted'))
}

function rejected(): Promise<never> {
  const promise = Promise.reject(new CallersOwn('rejected'))
  promise.catch(() => {})
  return promise
}

function cyclic(): object {
  const value: Record<string, unknown> = {}
  value['self'] = value
  return value
}

const throwing = new Proxy(
  {},
  {
    get: throwOwn,
    has: throwOwn,
    ownKeys: throwOwn,
    getPrototypeOf: throwOwn,
    getOwnPropertyDescriptor: throwOwn,
  },
)

/** Made anew each time: a call may change what it is given. */
const makers: readonly (() => unknown)[] = [
  ...[undefined, null, true, false, 0, -0, 1, -1, 0.5, 500, Number.NaN, Number.POSITIVE_INFINITY].map(
    (value) => () => value,
  ),
  ...[1e300, 2 ** 53, -(2 ** 53), 1n, 10n ** 300n, '', 'x', 'any', 'none', 'dead', 'always', '5s'].map(
    (value) => () => value,
  ),
  ...['\0', '\uD800', '__proto__', 'constructor', 'job:dead', 'SIGTERM', 'x'.repeat(100_000)].map(
    (value) => () => value,
  ),
  () => Symbol('own'),
  () => Symbol.iterator,
  () => () => 1,
  () => () => 'key',
  () => () => true,
  () => throwOwn,
  () => async () => true,
  () => async () => throwOwn(),
  () => rejected,
  () => function* generator() {},
  () => class Own {},
  () => ({}),
  () => [],
  () => [undefined],
  () => new Array(3),
  () => Object.create(null),
  () => Object.freeze({ a: 1 }),
  () => Object.defineProperty({}, 'delay', { get: throwOwn, enumerable: true }),
  () => throwing,
  () => new Proxy(() => {}, { apply: throwOwn, get: throwOwn }),
  () => revoked(),
  () => Promise.resolve(1),
  () => rejected(),
  // biome-ignore lint/suspicious/noThenProperty: a thenable is what is wanted
  () => ({ then: throwOwn }),
  () => new Date(),
  () => new Date(Number.NaN),
  () => new Date(1e6),
  () => runInNewContext('new Date()'),
  () => runInNewContext('({ delay: 1 })'),
  () => runInNewContext('[1]'),
  () => runInNewContext('Promise.resolve(1)'),
  () => new Map([[1, 2]]),
  () => new Set([1]),
  () => new WeakMap(),
  () => /x/,
  () => new CallersOwn('a value'),
  () => Object.defineProperty(new CallersOwn(''), 'message', { get: throwOwn }),
  () => Buffer.from('bytes'),
  () => new Uint8Array(4),
  () => new ArrayBuffer(8),
  () => detached(),
  () => new SharedArrayBuffer(8),
  () => cyclic(),
  () => deep(20_000),
  () => new AbortController(),
  () => new AbortController().signal,
  () => aborted(),
  () => new URL('file:///nowhere.js'),
  () => new URL('https://nowhere.test'),
  () =>
    new (class Own {
      readonly #hidden = 1
      get hidden(): number {
        return this.#hidden
      }
    })(),
  () => Reflect.apply(Object, undefined, [1n]),
  () => Reflect.apply(Object, undefined, ['boxed']),
  () => ({ toString: throwOwn, valueOf: throwOwn, toJSON: throwOwn }),
  () => tasks.any,
  () => tasks.none,
  () => ({ ...tasks.any }),
  () => new Proxy(tasks.any, {}),
  () => new Proxy(tasks.any, { get: throwOwn }),
  () => ({ to: 'ada' }),
]

/** A value that is made when a program is played: a maker's number, or an object of such by key. */
export type Recipe =
  | number
  | { readonly keys: readonly (readonly [string, Recipe])[] }
  | { readonly list: readonly Recipe[] }

const OPTIONS = [
  ...[
    'when',
    'delay',
    'runAt',
    'priority',
    'key',
    'unique',
    'timeout',
    'queueTimeout',
    'maxAttempts',
    'order',
  ],
  ...[
    'transfer',
    'signal',
    'for',
    'while',
    'replace',
    'state',
    'task',
    'limit',
    'cron',
    'every',
    'timeZone',
    'missed',
  ],
  ...[
    'payload',
    'options',
    'file',
    'connection',
    'store',
    'baggage',
    'onFailure',
    'signals',
    'exit',
    'history',
    'cause',
  ],
  ...[
    'name',
    'handler',
    'retry',
    'backoff',
    'pool',
    'concurrency',
    'retention',
    'result',
    'module',
    'export',
    'shared',
  ],
  ...['lease', 'prefix', 'window', 'durability', 'pools', 'role', 'nothing', '__proto__', 'constructor'],
]

const leaf = fc.nat({ max: makers.length - 1 })

/** Recipes, mostly simple ones. */
export const recipes: fc.Arbitrary<Recipe> = fc.letrec<{ recipe: Recipe }>((tie) => ({
  recipe: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    { weight: 6, arbitrary: leaf },
    {
      weight: 3,
      arbitrary: fc.record({
        keys: fc.array(fc.tuple(fc.constantFrom(...OPTIONS), tie('recipe')), { minLength: 1, maxLength: 3 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ list: fc.array(tie('recipe'), { maxLength: 3 }) }) },
  ),
})).recipe

/** Makes the value of a recipe. */
export function cook(recipe: Recipe): unknown {
  if (typeof recipe === 'number') return (makers[recipe] as () => unknown)()
  if ('list' in recipe) return recipe.list.map(cook)
  return Object.fromEntries(recipe.keys.map(([key, value]) => [key, cook(value)]))
}

/** A recipe for a person to read. */
export function written(recipe: Recipe): string {
  if (typeof recipe === 'number')
    return String(makers[recipe]).replace('() => ', '').replace('value', `value ${recipe}`)
  if ('list' in recipe) return `[${recipe.list.map(written).join(', ')}]`
  return `{ ${recipe.keys.map(([key, value]) => `${key}: ${written(value)}`).join(', ')} }`
}
