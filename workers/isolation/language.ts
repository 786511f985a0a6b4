/** What handlers of one thread share: the globals, the language's own objects, Node's modules. Taken before and after a run. */

/** The value, or the getter, of each property that is looked at. */
export type Language = ReadonlyMap<string, unknown>

const MODULES = [
  ...['fs', 'fs/promises', 'http', 'https', 'net', 'tls', 'dns', 'crypto', 'child_process', 'events'],
  ...['stream', 'timers', 'timers/promises', 'util', 'path', 'os', 'url', 'zlib', 'buffer'],
]
/** Reading these would set up a storage, or warn. */
const UNREAD = /^(?:local|session)Storage$/
/** What Node changes of its own accord. */
const ITS_OWN = new Set(['process._events', 'process._eventsCount', 'process._exiting', 'process.exitCode'])

/** Reads every global once: Node puts some there at their first use, and that is no handler's doing. */
export function touchGlobals(): void {
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (!UNREAD.test(name)) read(globalThis, name)
  }
}

/** Takes what is there now. */
export function languageNow(): Language {
  const language = new Map<string, unknown>()
  for (const [name, object, isWhole] of targets()) {
    for (const key of Reflect.ownKeys(object)) {
      const property = Object.getOwnPropertyDescriptor(object, key)
      const path = `${name}${typeof key === 'symbol' ? `[${String(key)}]` : `.${key}`}`
      if (property === undefined || ITS_OWN.has(path)) continue
      const { value, get } = property
      // Of Node's own objects the functions are looked at: some of the rest is state, or appears at its first use.
      if (isWhole) language.set(path, get ?? value)
      else if (typeof value === 'function') language.set(path, value)
    }
  }
  return language
}

/** What is otherwise than before, as sentences. */
export function changedIn(before: Language, after: Language): string[] {
  const changes: string[] = []
  for (const [path, value] of after) {
    if (!before.has(path)) changes.push(`${path} was added`)
    else if (!Object.is(before.get(path), value)) changes.push(`${path} was replaced`)
  }
  for (const path of before.keys()) if (!after.has(path)) changes.push(`${path} was taken away`)
  return changes
}

/** Name, object, and whether all of it is looked at. */
function* targets(): Generator<readonly [string, object, boolean]> {
  yield ['globalThis', globalThis, true]
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    const value = UNREAD.test(name) ? undefined : read(globalThis, name)
    if (typeof value === 'function') yield* withPrototype(name, value)
  }
  for (const name of ['Math', 'JSON', 'Reflect', 'Atomics', 'Intl'] as const)
    yield [name, globalThis[name], true]
  for (const [name, value] of Object.entries(Object.getOwnPropertyDescriptors(Intl)))
    if (typeof value.value === 'function') yield* withPrototype(`Intl.${name}`, value.value)
  for (const [name, value] of hidden) yield [name, Object.getPrototypeOf(value) as object, true]
  yield ['console', console, false]
  yield ['process', process, false]
  for (const name of MODULES) {
    const module = process.getBuiltinModule(`node:${name}`) as unknown as object
    yield [`node:${name}`, module, false]
  }
}

/** Objects of which only the prototype can be reached. */
const hidden: readonly (readonly [string, object])[] = [
  ['AsyncFunction.prototype', async () => {}],
  ['GeneratorFunction.prototype', function* () {}],
  ['AsyncGeneratorFunction.prototype', async function* () {}],
  ['ArrayIterator.prototype', [].values()],
  ['MapIterator.prototype', new Map().values()],
  ['SetIterator.prototype', new Set().values()],
  ['TypedArray', Uint8Array],
  ['TypedArray.prototype', Uint8Array.prototype],
]

function* withPrototype(name: string, value: object): Generator<readonly [string, object, boolean]> {
  yield [name, value, true]
  const prototype = read(value, 'prototype')
  if (typeof prototype === 'object' && prototype !== null) yield [`${name}.prototype`, prototype, true]
}

function read(object: object, name: string): unknown {
  try {
    return Reflect.get(object, name)
  } catch {
    return undefined
  }
}
