/** Values that nobody should give to a function, and some that it takes. */
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { z } from 'zod'
import { Runtime } from '../../../src/engine/runtime.ts'
import { defineTask } from '../../../src/rules/task.ts'

/** What a function or a getter of the caller's own throws: it may come back where it was thrown on purpose. */
export class CallersOwn extends Error {}

// Nothing else can be asked of these.
const unreadable = new WeakSet<object>()

/** True for what a function or a getter of the caller's own has thrown. */
export function isCallersOwn(thrown: unknown): boolean {
  if (typeof thrown !== 'object' || thrown === null) return false
  return unreadable.has(thrown) || thrown instanceof CallersOwn
}

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

function revoked(target: object = {}): object {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  unreadable.add(proxy)
  return proxy
}

function throwRevoked(): never {
  throw revoked()
}

/** Passes for one of a class, and has none of what its members stand on. */
function pretend(Class: { readonly prototype: object }): object {
  return Object.create(Class.prototype)
}

/** An object all of whose members of these names throw when they are read. */
function refusing(names: readonly string[], base: object = {}): object {
  for (const name of names) Object.defineProperty(base, name, { get: throwOwn, enumerable: true })
  return base
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

const traps = {
  get: throwOwn,
  has: throwOwn,
  ownKeys: throwOwn,
  getPrototypeOf: throwOwn,
  getOwnPropertyDescriptor: throwOwn,
}
const throwing = new Proxy({}, traps)

/** A schema whose answer is this. */
function schemaOf(answer: () => unknown): object {
  return { '~standard': { version: 1, vendor: 'own', validate: answer } }
}

const LISTENING = ['aborted', 'addEventListener', 'removeEventListener', 'reason']

/** Shaped as a signal; what it is told or asked first may throw. */
function likeSignal(members: object = {}): object {
  return { aborted: false, addEventListener() {}, removeEventListener() {}, ...members }
}

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
  () => revoked([]),
  () => revoked(() => {}),
  () => revoked(new CallersOwn('revoked')),
  () => new Proxy([], traps),
  () => new Proxy([1, 2], { get: throwOwn }),
  () => new Proxy([1], { get: (list, key) => (key === 'length' ? 3 : Reflect.get(list, key)) }),
  () => refusing(['0'], [1]),
  () => refusing(['name', 'message', 'stack', 'cause', 'code', 'status'], new CallersOwn('unreadable')),
  () => refusing(['then']),
  () => refusing(['constructor', 'name', 'toString']),
  () => refusing([...LISTENING]),
  () => refusing(['tasks', 'task', 'payload', 'options', 'handler', 'href', 'module', 'file']),
  () => ({ [Symbol.iterator]: throwOwn, [Symbol.toPrimitive]: throwOwn, [Symbol.toStringTag]: 'Date' }),
  () => pretend(Date),
  () => pretend(Array),
  () => pretend(Promise),
  () => pretend(Map),
  () => pretend(URL),
  () => pretend(Error),
  () => pretend(AbortSignal),
  () => pretend(ArrayBuffer),
  () => pretend(Uint8Array),
  () => pretend(Runtime),
  () => new Proxy(new Date(), {}),
  () => new Proxy(new Map(), {}),
  () => new Proxy(new AbortController().signal, {}),
  () => new Proxy(Promise.resolve(), {}),
  () => likeSignal({ addEventListener: throwOwn }),
  () => likeSignal({ removeEventListener: throwOwn }),
  () => likeSignal({ aborted: true, reason: revoked() }),
  () => refusing(['reason'], likeSignal({ aborted: true })),
  () => Object.assign(new AbortController().signal, { addEventListener: throwOwn }),
  () => throwRevoked,
  () => () => revoked(),
  () => () => revoked(() => {}),
  () => () => new Proxy(Promise.resolve(), {}),
  () => () => Promise.reject(revoked()),
  // biome-ignore lint/suspicious/noThenProperty: a thenable is what is wanted
  () => () => ({ then: throwOwn }),
  () => schemaOf(() => revoked()),
  () => schemaOf(throwRevoked),
  () => schemaOf(() => ({ issues: revoked([]) })),
  () => schemaOf(() => ({ issues: [revoked()] })),
  () => schemaOf(() => ({ issues: [{ message: revoked(), path: revoked([]) }] })),
  () => schemaOf(() => ({ value: revoked() })),
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
  ...['connection', 'retention', 'count', 'age', 'ageing', 'maxPending', 'log', 'tasks', 'broker', 'level'],
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
