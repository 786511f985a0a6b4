/** Handlers that do what a handler should not, each by the name of its deed, and some that only look like it. */
import { once } from 'node:events'
import fs, { openSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { createServer } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { HandlerContext } from 'aftertask'

export function global(payload: unknown): void {
  Object.assign(globalThis, { lastPayload: payload })
}

export function prototype(): void {
  Object.defineProperty(Array.prototype, 'last', { value: () => 1, configurable: true })
}

export function nodeModule(): void {
  fs.existsSync = () => true
}

export function environment(): void {
  process.env['TZ'] = 'UTC+7'
}

export function listener(): void {
  process.on('warning', () => {})
}

export function timer(): void {
  setInterval(() => {}, 60_000).unref()
}

export async function server(): Promise<void> {
  const opened = createServer().listen(0, '127.0.0.1').unref()
  await once(opened, 'listening')
}

export function descriptor(): void {
  openSync(import.meta.filename, 'r')
}

const kept: string[] = []
export function memory(): void {
  kept.push(
    'x'.repeat(1000) + kept.length,
    ...Array.from({ length: 3000 }, (_, at) => `${kept.length} ${at}`),
  )
}

/** Ends at once twice, and hears nobody from then on: in whatever thread it runs. */
export async function deaf({ counter }: { counter: string }): Promise<void> {
  fs.appendFileSync(counter, 'x')
  if (fs.readFileSync(counter, 'utf8').length > 2) await new Promise(() => {})
}

export async function endless(): Promise<void> {
  await new Promise(() => {})
}

export function exit(): void {
  process.exit(3)
}

export function rejecting(): void {
  void Promise.reject(new Error('nobody awaits this'))
}

export function result(): unknown {
  return () => 1
}

export function failing(): void {
  throw new Error('it always fails')
}

let runs = 0
export function counting(): number {
  return ++runs
}

export function failingAgain(): void {
  if (++runs > 1) throw new Error('there is one already')
}

export function writing({ file }: { file: string }): void {
  fs.appendFileSync(file, 'x')
}

const cache = new Map<number, string>()
let shared: { readonly interval: NodeJS.Timeout; readonly cleaner: NodeJS.Process } | undefined

/** Does much of what others leave behind, and leaves nothing: or once, for all its runs. */
export async function honest({ to }: { to: string }, { signal, log }: HandlerContext): Promise<string> {
  const interval = setInterval(() => {}, 1000)
  const onWarning = (): void => {}
  process.on('warning', onWarning)
  process.once('exit', onWarning)
  const file = await open(import.meta.filename)
  const port = createServer().listen(0, '127.0.0.1')
  try {
    await once(port, 'listening')
    await wait(2, undefined, { signal: AbortSignal.any([signal, AbortSignal.timeout(60_000)]) })
    shared ??= {
      interval: setInterval(() => {}, 60_000).unref(),
      cleaner: process.on('warning', () => cache.clear()),
    }
    shared.interval.refresh()
    cache.set(cache.size % 50, to)
    for (let line = 0; line < 1100; line++) log.debug('line')
    return `Hello, ${to}`
  } finally {
    clearInterval(interval)
    process.off('warning', onWarning).off('exit', onWarning)
    await file.close()
    port.close()
  }
}

/** Waits for its abort in its third run, which is the one that is cancelled; the others end at once. */
async function whenCancelled(counter: string, signal: AbortSignal, onAbort: () => void): Promise<void> {
  fs.appendFileSync(counter, 'x')
  if (fs.readFileSync(counter, 'utf8').length !== 3) return
  signal.addEventListener('abort', onAbort)
  await wait(3_600_000, undefined, { signal })
}

/** Throws in a listener, as `fetch` of Node 24 does when it is aborted between its head and its body. */
export async function throwingOnAbort(
  { counter }: { counter: string },
  { signal }: HandlerContext,
): Promise<void> {
  await whenCancelled(counter, signal, () => {
    throw new Error('nobody catches this')
  })
}

export async function exitingOnAbort(
  { counter }: { counter: string },
  { signal }: HandlerContext,
): Promise<void> {
  await whenCancelled(counter, signal, () => process.exit(4))
}

/** Adds jobs that are none of the trial's. */
export async function parent(_payload: unknown, ctx: HandlerContext): Promise<void> {
  await ctx.enqueue('exit', undefined)
  await ctx.enqueue('parent', undefined)
}
