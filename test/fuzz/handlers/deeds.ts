/** What modules and handlers do, as source: each deed by its name. */

const src = new URL('../../../src/', import.meta.url).href
const events = `['uncaughtException', 'unhandledRejection']`

/** Deeds that fit into a module's top level and into a handler alike. */
const anywhere: Readonly<Record<string, string>> = {
  'rethrows errors': `for (const e of ${events}) process.on(e, (error) => { throw error })`,
  'rethrows errors first': `for (const e of ${events}) process.prependListener(e, (error) => { throw error })`,
  'exits on errors': `for (const e of ${events}) process.on(e, () => process.exit(1))`,
  'exits on errors later': `for (const e of ${events}) process.on(e, () => setImmediate(() => process.exit(1)))`,
  'swallows errors': `for (const e of ${events}) process.on(e, () => {})`,
  'removes error listeners': `for (const e of ${events}) process.removeAllListeners(e)`,
  'captures exceptions':
    'if (!process.hasUncaughtExceptionCaptureCallback()) process.setUncaughtExceptionCaptureCallback((error) => { throw error })',
  'replaces process.emit': 'process.emit = () => false',
  'wraps process.emit':
    '{ const { emit } = process; process.emit = function (...args) { return emit.apply(this, args) } }',
  'throws from process.emit':
    '{ const { emit } = process; process.emit = function (n, ...a) { if (/^un/.test(n)) throw a[0]; return emit.call(this, n, ...a) } }',
  'replaces process.on': 'process.on = process.once = process.addListener = () => process',
  'replaces process.exit': 'process.exit = () => {}',
  'throws from process.exit': `process.exit = () => { throw new Error('no exit') }`,
  'replaces nextTick': 'process.nextTick = () => {}',
  'replaces timers':
    'globalThis.setTimeout = globalThis.setInterval = globalThis.setImmediate = () => ({ unref() {}, ref() {} })',
  'replaces the clock': 'performance.now = () => 0; Date.now = () => 0',
  'replaces queueMicrotask': 'globalThis.queueMicrotask = () => {}',
  'replaces AbortController': 'globalThis.AbortController = class {}; globalThis.AbortSignal = class {}',
  'replaces structuredClone and Proxy': `globalThis.structuredClone = globalThis.Proxy = () => { throw new Error('no') }`,
  'replaces Promise': 'globalThis.Promise = class {}',
  'breaks then': 'Promise.prototype.then = () => {}',
  'throws from then': `Promise.prototype.then = () => { throw new Error('then') }`,
  'breaks catch and finally': 'Promise.prototype.catch = Promise.prototype.finally = () => {}',
  'breaks Promise.race and all': `Promise.race = Promise.all = Promise.withResolvers = () => { throw new Error('race') }`,
  'breaks push': `Array.prototype.push = () => { throw new Error('push') }`,
  'breaks array methods': `for (const m of ['map', 'slice', 'find', 'forEach', 'filter', 'fill', 'splice', 'includes', 'flatMap', 'entries']) Array.prototype[m] = () => { throw new Error(m) }`,
  'breaks array iteration': `Array.prototype[Symbol.iterator] = () => { throw new Error('iterator') }`,
  'breaks strings': `for (const m of ['includes', 'startsWith', 'slice', 'replace', 'split']) String.prototype[m] = () => { throw new Error(m) }`,
  'breaks JSON': `JSON.stringify = () => 'broken'; JSON.parse = () => { throw new Error('parse') }`,
  'breaks Atomics': `Atomics.load = Atomics.store = Atomics.compareExchange = () => { throw new Error('atomics') }`,
  'breaks Reflect': `Reflect.apply = Reflect.get = Reflect.ownKeys = () => { throw new Error('reflect') }`,
  'breaks call and apply': `Function.prototype.call = Function.prototype.apply = () => { throw new Error('call') }`,
  'breaks Map': `Map.prototype.set = Map.prototype.get = () => { throw new Error('map') }`,
  'breaks Map and Set iteration': `for (const C of [Map, Set]) C.prototype[Symbol.iterator] = C.prototype.entries = C.prototype.values = () => { throw new Error('iterator') }`,
  'breaks WeakMap': `WeakMap.prototype.get = WeakSet.prototype.has = () => { throw new Error('weak') }`,
  'breaks Object': `for (const m of ['keys', 'entries', 'assign', 'defineProperty', 'getPrototypeOf', 'hasOwn', 'fromEntries']) Object[m] = () => { throw new Error(m) }`,
  'breaks Array.isArray': `Array.isArray = Array.from = () => { throw new Error('isArray') }`,
  'breaks numbers': `Number.prototype.toString = () => { throw new Error('number') }; Math.max = Math.min = Math.round = Math.ceil = () => NaN`,
  'breaks regular expressions': `RegExp.prototype.exec = RegExp.prototype.test = () => { throw new Error('exec') }`,
  'replaces constructors': `globalThis.Array = globalThis.Map = globalThis.Set = globalThis.Date = globalThis.Error = globalThis.Object = class { constructor() { throw new Error('new') } }`,
  'pollutes Object.prototype with a setter': `for (const m of ['message', 'result', 'error', 'value', 'then', 'task']) Object.defineProperty(Object.prototype, m, { get() { return undefined }, set() { throw new Error('setter') }, configurable: true })`,
  'pollutes Object.prototype with then': 'Object.prototype.then = function (resolve) { resolve(1) }',
  'breaks buffers': `Buffer.byteLength = () => { throw new Error('length') }; Buffer.prototype.write = () => 0`,
  'breaks ports': `{ const { MessagePort } = await import('node:worker_threads'); MessagePort.prototype.postMessage = () => {}; MessagePort.prototype.on = () => {} }`,
  'closes parentPort': `{ const { parentPort } = await import('node:worker_threads'); parentPort.close(); parentPort.removeAllListeners() }`,
  'freezes prototypes':
    'for (const C of [Object, Array, Promise, Error, Function]) { Object.freeze(C); Object.freeze(C.prototype) }',
  'pollutes Object.prototype': `Object.prototype.polluted = true; Object.prototype.slot = 3; Object.prototype.code = 'POLLUTED'; Object.prototype.cause = 1`,
  'makes stacks throw': `Error.prepareStackTrace = () => { throw new Error('stack') }`,
  'limits stacks': 'Error.stackTraceLimit = 0',
  'replaces Error.captureStackTrace': `Error.captureStackTrace = () => { throw new Error('capture') }`,
  'prints much': `for (let i = 0; i < 200; i++) process.stderr.write('')`,
  'replaces stdout.write': `process.stdout.write = process.stderr.write = () => { throw new Error('write') }`,
  'leaves a timer that throws': `setTimeout(() => { throw new Error('timer') }, 1)`,
  'leaves a timer that throws late': `setTimeout(() => { throw new Error('late timer') }, 40)`,
  'leaves a rejection': `void (async () => { throw new Error('rejection') })()`,
  'leaves a rejection that is no error': 'void (async () => { throw undefined })()',
  'leaves an interval': 'setInterval(() => {}, 1)',
  'leaves an exit': 'setTimeout(() => process.exit(5), 5)',
  'sets the exit code': 'process.exitCode = 9',
  'emits exit': `process.emit('exit', 0)`,
  'emits an exception': `process.emit('uncaughtException', new Error('emitted'))`,
  'makes a runtime': `{ const { createRuntime } = await import('${src}index.ts'); try { createRuntime({ tasks: [] }) } catch {} }`,
  'leaves a runtime': `void import('${src}index.ts').then(({ createRuntime }) => createRuntime({ tasks: [] }))`,
  'warns by abort': 'try { process.abort() } catch {}',
  throws: `throw new Error('thrown')`,
  'throws nothing': 'throw null',
  exits: 'process.exit(3)',
  'really exits': 'process.reallyExit(4)',
}

/** Deeds that need a context. */
const inHandler: Readonly<Record<string, string>> = {
  'freezes ctx': 'Object.freeze(ctx); Object.freeze(ctx.signal); Object.freeze(ctx.log)',
  'writes on ctx':
    'ctx.slot = 1; ctx.isOver = true; ctx.end = ctx.abort = ctx.post = () => {}; ctx.id = ctx.progress = 0',
  'empties ctx': 'for (const key of Object.keys(ctx)) delete ctx[key]',
  'changes what ctx inherits': 'Object.setPrototypeOf(ctx, null)',
  'takes signal apart': `Object.defineProperty(ctx.signal, 'aborted', { get() { throw new Error('aborted') } }); ctx.signal.dispatchEvent = () => {}`,
  'throws in a listener of signal': `ctx.signal?.addEventListener('abort', () => { throw new Error('listener') })`,
  'tells progress and lines': `ctx.progress?.(1); ctx.log?.info?.('line', { some: 'data' }); ctx.progress?.(() => {})`,
  'floods lines': `for (let i = 0; i < 3000; i++) ctx.log?.info?.('line ' + i)`,
  'floods parentPort': `{ const { parentPort } = await import('node:worker_threads'); for (let i = 0; i < 5000; i++) parentPort.postMessage(i) }`,
  'adds a job': `await ctx.enqueue?.('innocent', 'child')`,
  'adds a job and goes': `void ctx.enqueue?.('innocent', 'child')`,
  'adds what is unknown': `void ctx.enqueue?.('nobody', 'child')`,
  'waits a little':
    'await new Promise((resolve) => { setTimeout(resolve, 5); setImmediate(() => setImmediate(resolve)) })',
  'waits a turn': 'await null',
}

/** How a handler ends. */
export const ends: Readonly<Record<string, string>> = {
  'returns its payload': 'return payload',
  'returns an object': 'return { payload, at: new Date(0), list: [1, 2, { three: 3 }] }',
  'returns a function': 'return () => {}',
  'returns what throws': `return { get x() { throw new Error('getter') } }`,
  'returns a foreign promise': 'return { then(resolve) { resolve(payload); resolve(1) } }',
  'never ends': 'return new Promise(() => {})',
  spins: 'for (;;);',
  'throws a proxy': `throw new Proxy(new Error('proxy'), { get() { throw new Error('get') }, getPrototypeOf() { throw new Error('of') } })`,
  'throws an error with much on it': `throw Object.assign(new RangeError('much'), { code: 'E_MUCH', socket: () => {}, list: [new Error('inner')], cause: new Error('cause') })`,
  exits: 'process.exit(6)',
}

/** Deeds of a module's top level. */
export const moduleDeeds: Readonly<Record<string, string>> = {
  ...anywhere,
  'never finishes': 'await new Promise(() => {})',
}

/** Deeds of a handler. */
export const handlerDeeds: Readonly<Record<string, string>> = { ...anywhere, ...inHandler }
