/**
 * Values as recipes: plain JSON, so that a thread and the event loop can both make the same value, and say what is to arrive
 * of it. The rule is structured clone's, but for what the guides say besides: errors are whole, what would arrive empty is
 * refused.
 */
import { EventEmitter } from 'node:events'
import vm from 'node:vm'
import fc from 'fast-check'

/** A leaf that travels. */
type Leaf = readonly ['leaf', name: string, seed: number]
/** A part that is refused, outside of errors. */
type Refused = readonly ['refused', name: string]
/** A part that may be refused or not: it gives another answer each time. */
type Moody = readonly ['moody']
type Entries = readonly (readonly [string, Recipe])[]

/** How a value is made. */
export type Recipe =
  | Leaf
  | Refused
  | Moody
  | readonly ['object' | 'null' | 'class' | 'realm', Entries]
  | readonly ['array' | 'set' | 'sparse', readonly Recipe[]]
  | readonly ['map', readonly (readonly [Recipe, Recipe])[]]
  | readonly ['cycle' | 'shared', Recipe]
  | readonly ['dag' | 'deep', number, Recipe]
  | readonly ['error', kind: string, own: Entries, cause: Recipe | null]

class Plain {
  toJSON(): string {
    return 'not what is sent'
  }
}
class Hidden {
  readonly #secret = 1
  get secret(): number {
    return this.#secret
  }
}
class Counter extends EventEmitter {
  count = 1
}

const realm = vm.createContext({})
const views = [Uint8Array, Float32Array, BigInt64Array, Int16Array, Uint8ClampedArray, Float64Array] as const

const leaves: Readonly<Record<string, (seed: number) => unknown>> = {
  undefined: () => undefined,
  null: () => null,
  number: (seed) => seed,
  fraction: (seed) => seed / 7,
  'not a number': () => Number.NaN,
  'minus zero': () => -0,
  string: (seed) => 'ü\0\ud800'.repeat(seed % 5) + seed,
  bigint: (seed) => BigInt(seed) ** 3n,
  boolean: (seed) => seed % 2 === 0,
  date: (seed) => new Date(seed),
  'invalid date': () => new Date(Number.NaN),
  'date of another realm': (seed) => vm.runInContext(`new Date(${seed})`, realm),
  pattern: (seed) => new RegExp(`a{${seed % 9}}`, 'giu'),
  boxed: (seed) => Object(seed),
  'pooled buffer': (seed) => Buffer.from(`pooled ${seed}`),
  view: (seed) => new (views[seed % views.length] as Uint8ArrayConstructor)(seed % 100),
  'part of a view': (seed) =>
    new Uint8Array(Uint8Array.from({ length: 64 }, (_, at) => at).buffer, 3, seed % 50),
  memory: (seed) => Uint8Array.of(seed % 256, 1, 2).buffer,
  'data view': (seed) => new DataView(new ArrayBuffer(16), 3, seed % 9),
}

/** What a leaf is once it has arrived, where that is not the same. */
const arrived: Readonly<Record<string, (seed: number) => unknown>> = {
  'date of another realm': (seed) => new Date(seed),
}

const refused: Readonly<Record<string, () => unknown>> = {
  function: () => () => 1,
  symbol: () => Symbol('s'),
  URL: () => new URL('https://x.test'),
  Headers: () => new Headers({ a: 'b' }),
  FormData: () => new FormData(),
  Request: () => new Request('https://x.test'),
  Response: () => new Response('x'),
  Blob: () => new Blob(['x']),
  File: () => new File(['x'], 'y'),
  WeakMap: () => new WeakMap(),
  WeakRef: () => new WeakRef({}),
  Promise: () => Promise.resolve(1),
  ReadableStream: () => new ReadableStream(),
  AbortSignal: () => new AbortController().signal,
  'a class with private fields': () => new Hidden(),
  'an emitter': () => new Counter(),
  'a generator': () => (function* () {})(),
  'a proxy that throws': () => new Proxy({}, { ownKeys: () => { throw new Error('no') } }), // biome-ignore format: one thing
  'a getter that throws': () => ({ get it() { throw new Error('no') } }), // biome-ignore format: one thing
  'a boxed symbol': () => Object(Symbol('s')),
  'shared memory': () => new Int32Array(new SharedArrayBuffer(8)),
  'moved memory': () => { const bytes = new Uint8Array(8); structuredClone(0, { transfer: [bytes.buffer] }); return bytes }, // biome-ignore format: one thing
  'a toJSON of its own': () => ({ toJSON: () => 1 }),
  'code of WebAssembly': () =>
    Reflect.construct(Reflect.get(Reflect.get(globalThis, 'WebAssembly'), 'Module'), [Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)]), // biome-ignore format: one thing
}

const key = fc.constantFrom('a', 'b', 'name', '1', '__proto__', 'constructor', 'x y', 'errors')

const nested: fc.Arbitrary<Recipe> = fc.letrec<{ recipe: Recipe; entries: Entries; own: Entries }>((tie) => {
  const leaf: fc.Arbitrary<Recipe> = fc.tuple(
    fc.constant('leaf' as const),
    fc.constantFrom(...Object.keys(leaves)),
    fc.nat(1e6),
  )
  const bad: fc.Arbitrary<Recipe> = fc.tuple(
    fc.constant('refused' as const),
    fc.constantFrom(...Object.keys(refused)),
  )
  const few = { maxLength: 4 }
  const error = fc.tuple(
    fc.constant('error' as const),
    fc.constantFrom('Error', 'TypeError', 'AggregateError', 'DOMException', 'named'),
    tie('own'),
    fc.option(fc.oneof({ maxDepth: 4 }, leaf, tie('recipe'))),
  )
  return {
    entries: fc.uniqueArray(fc.tuple(key, tie('recipe')), { ...few, selector: ([name]) => name }),
    own: fc.uniqueArray(
      fc.tuple(fc.constantFrom('code', 'details', 'original'), fc.oneof(leaf, bad, tie('recipe'))),
      {
        ...few,
        selector: ([name]) => name,
      },
    ),
    recipe: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      { weight: 30, arbitrary: leaf },
      { weight: 2, arbitrary: bad },
      { weight: 1, arbitrary: fc.constant(['moody'] as const) },
      {
        weight: 10,
        arbitrary: fc.tuple(fc.constantFrom('object', 'null', 'class', 'realm'), tie('entries')),
      },
      {
        weight: 6,
        arbitrary: fc.tuple(fc.constantFrom('array', 'set', 'sparse'), fc.array(tie('recipe'), few)),
      },
      { weight: 3, arbitrary: fc.tuple(fc.constant('map'), fc.array(fc.tuple(leaf, tie('recipe')), few)) },
      { weight: 4, arbitrary: fc.tuple(fc.constantFrom('cycle', 'shared'), tie('recipe')) },
      { weight: 6, arbitrary: error },
    ) as fc.Arbitrary<Recipe>,
  }
}).recipe

// Node's own comparison would take for ever with these, or not come to an end: they stand outermost.
const vast: fc.Arbitrary<Recipe> = fc.integer({ min: 0, max: 1e6 }).chain((seed) => {
  const leaf = fc.constant(['leaf', 'number', seed] as const)
  return fc.oneof(
    fc.tuple(fc.constant('dag' as const), fc.integer({ min: 1, max: 40 }), leaf),
    fc.tuple(fc.constant('deep' as const), fc.constantFrom(10, 200, 300, 2000, 3000, 8000, 20_000), leaf),
  )
})

/** Recipes of every kind; about one in five holds something that is refused. */
export const recipes: fc.Arbitrary<Recipe> = fc.oneof(
  { weight: 20, arbitrary: nested },
  { weight: 2, arbitrary: vast },
  {
    weight: 1,
    arbitrary: vast.map((part) => ['error', 'Error', [['details', part]], part] as const),
  },
)

/** What is to become of a value. */
export type Fate = 'travels' | 'refused' | 'either'

/** What is to become of the value of a recipe, outside of an error. */
export function fateOf(recipe: Recipe): Fate {
  switch (recipe[0]) {
    case 'leaf':
    case 'error':
      return 'travels'
    case 'refused':
      return 'refused'
    case 'moody':
      return 'either'
    case 'deep':
      return recipe[1] > 4000 ? 'refused' : 'travels'
    case 'class':
      return recipe[1].length === 0 ? 'refused' : worst(recipe[1].map(([, part]) => fateOf(part)))
    case 'object':
    case 'null':
    case 'realm':
      return worst(recipe[1].map(([, part]) => fateOf(part)))
    case 'map': {
      const fate = worst(recipe[1].flatMap((pair) => pair.map(fateOf)))
      const kinds = new Set(recipe[1].map(([leafOfKey]) => leafOfKey[1]))
      // Of equal keys the last has its value, and what is refused may be gone.
      return fate === 'refused' && kinds.size < recipe[1].length ? 'either' : fate
    }
    case 'array':
    case 'set':
    case 'sparse':
      return worst(recipe[1].map(fateOf))
    case 'cycle':
    case 'shared':
      return fateOf(recipe[1])
    case 'dag':
      return fateOf(recipe[2])
  }
}

function worst(fates: readonly Fate[]): Fate {
  return fates.includes('refused') ? 'refused' : fates.includes('either') ? 'either' : 'travels'
}

/** Makes the value of a recipe: as it is given, or as it is to arrive. */
export function make(recipe: Recipe, as: 'given' | 'arrived'): unknown {
  const inner = (part: Recipe): unknown => make(part, as)
  switch (recipe[0]) {
    case 'leaf':
      return ((as === 'arrived' && arrived[recipe[1]]) || leaves[recipe[1]])?.(recipe[2])
    case 'refused':
      return refused[recipe[1]]?.()
    case 'moody':
      return moody()
    case 'object':
      return filled({}, recipe[1], as)
    case 'null':
      return filled(as === 'given' ? Object.create(null) : {}, recipe[1], as)
    case 'class':
      return filled(as === 'given' ? new Plain() : {}, recipe[1], as)
    case 'realm':
      return filled(as === 'given' ? (vm.runInContext('({})', realm) as object) : {}, recipe[1], as)
    case 'array':
      return recipe[1].map(inner)
    case 'sparse':
      return Object.assign(new Array(9), recipe[1].map(inner))
    case 'set':
      return new Set(recipe[1].map(inner))
    case 'map':
      return new Map(recipe[1].map(([name, part]) => [inner(name), inner(part)]))
    case 'cycle': {
      const value: Record<string, unknown> = { part: inner(recipe[1]) }
      value['self'] = value
      return value
    }
    case 'shared': {
      const part = inner(recipe[1])
      return { one: part, other: [part] }
    }
    case 'dag':
      return repeated(recipe[1], inner(recipe[2]), (part) => ({ left: part, right: part }))
    case 'deep':
      return repeated(recipe[1], inner(recipe[2]), (next) => ({ next }))
    case 'error':
      return madeError(recipe, as)
  }
}

function filled(object: object, entries: Entries, as: 'given' | 'arrived'): object {
  for (const [name, part] of entries) setOwn(object, name, make(part, as))
  return object
}

function setOwn(object: object, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true })
}

function repeated(times: number, leaf: unknown, around: (part: unknown) => object): unknown {
  let value = leaf
  for (let time = 0; time < times; time++) value = around(value)
  return value
}

/** Answers with plain data at first, and then with what can be written but not read. */
function moody(): unknown {
  let asked = 0
  const code = refused['code of WebAssembly']?.()
  return Object.defineProperty({ when: new Date(0) }, 'it', {
    enumerable: true,
    get: () => (++asked > 1 ? code : 1),
  })
}

function madeError(
  [, kind, own, cause]: Extract<Recipe, readonly ['error', ...unknown[]]>,
  as: 'given' | 'arrived',
): Error {
  const isNone = cause === null || (cause[0] === 'leaf' && cause[1] === 'undefined')
  const why = isNone || !isKept(cause, as) ? {} : { cause: make(cause, as) }
  const error =
    kind === 'DOMException'
      ? new DOMException('gone', 'AbortError')
      : kind === 'AggregateError'
        ? new AggregateError([new TypeError('one'), 'two'], 'all', why)
        : kind === 'TypeError'
          ? new TypeError('type', why)
          : new Error('plain', why)
  if (kind === 'named') Object.defineProperty(error, 'name', { value: 'OwnError', configurable: true })
  for (const [name, part] of own) if (isKept(part, as)) setOwn(error, name, make(part, as))
  // A property of an error that is undefined is not there.
  if (as === 'arrived')
    for (const name of Object.keys(error))
      if (Reflect.get(error, name) === undefined) Reflect.deleteProperty(error, name)
  return error
}

/** Whether a part of an error is compared: of one that is refused in part, something arrives. */
function isKept(part: Recipe, as: 'given' | 'arrived'): boolean {
  return as === 'given' ? part[0] !== 'moody' : fateOf(part) === 'travels'
}
