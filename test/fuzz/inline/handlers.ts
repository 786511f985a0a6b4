/** Handlers that do what their payload says, step by step, in the thread of the test and on real threads alike. */
import type { HandlerContext } from '../../../src/rules/handler.ts'
import { UnrecoverableError } from '../../../src/words/job-errors.ts'
import { make, type Recipe } from '../values/recipes.ts'

/** What a handler says when it begins to wait for its signal. */
export const WAITING = 'waiting'

/** What a handler does on its way. */
export type Step =
  | readonly ['progress' | 'log' | 'change', Recipe]
  | readonly ['look' | 'turn' | 'timer' | 'microtask' | 'write']
  | readonly ['add', task: string, payload: unknown, options: Readonly<Record<string, unknown>> | null]

/** How it ends. */
export type End =
  | readonly ['return' | 'resolve' | 'throw' | 'reject' | 'own' | 'unrecoverable' | 'thenable', Recipe]
  | readonly ['move', size: number]
  | readonly ['wait', then: 'reason' | 'result' | 'error']

/** What one handler does. */
export interface Script {
  readonly steps: readonly Step[]
  /** Attempts that fail before one ends as `end` says. */
  readonly failures: number
  readonly end: End
  /** A value that the payload carries besides. */
  readonly extra?: unknown
}

/** Waits where it is told to, and declares its context. */
export async function awaiting(script: Script, ctx: HandlerContext): Promise<unknown> {
  for (const step of script.steps) await perform(step, script, ctx)
  const ended = finish(script, ctx)
  return script.end[0] === 'thenable' ? ended : await ended
}

/** Waits for nothing, and has a context that is filled at its first use. */
export function prompt(...args: [Script, HandlerContext?]): unknown {
  const [script, ctx] = args as [Script, HandlerContext]
  const open = script.steps.map((step) => perform(step, script, ctx))
  return finish(script, ctx, open)
}

/** Returns what it was given. */
export function child(payload: unknown): unknown {
  return payload
}

function perform(step: Step, script: Script, ctx: HandlerContext): Promise<unknown> | undefined {
  switch (step[0]) {
    case 'progress':
      return void ctx.progress(make(step[1], 'given'))
    case 'log':
      return void ctx.log.warn('line', make(step[1], 'given'))
    case 'change':
      return void Object.assign(script, { extra: make(step[1], 'given') })
    case 'look':
      return void ctx.log.info('looked', {
        ...{ name: ctx.name, attempt: ctx.attempt, aborted: ctx.signal.aborted, keys: Object.keys(ctx) },
        ...{ requestId: ctx.requestId, traceparent: ctx.traceparent, baggage: ctx.baggage },
        extra: script.extra,
      })
    case 'write':
      return void Object.assign(ctx, { attempt: 99, name: 'other', requestId: 'other' })
    case 'turn':
      return new Promise((resolve) => setImmediate(resolve))
    case 'timer':
      return new Promise((resolve) => setTimeout(resolve, 1))
    case 'microtask':
      return Promise.resolve()
    case 'add':
      return ctx.enqueue(step[1], step[2], step[3] as never).then(
        (id) => ctx.log.info('added', typeof id),
        (error: unknown) => ctx.log.error('refused', error),
      )
  }
}

/** `open`: what it has begun and not waited for. */
function finish({ failures, end }: Script, ctx: HandlerContext, open: readonly unknown[] = []): unknown {
  if (ctx.attempt <= failures && end[0] !== 'wait') throw new RangeError(`attempt ${ctx.attempt} fails`)
  switch (end[0]) {
    case 'return':
      return make(end[1], 'given')
    case 'resolve':
      return Promise.resolve({ it: make(end[1], 'given') })
    case 'throw':
      throw make(end[1], 'given')
    case 'reject':
      return Promise.reject(make(end[1], 'given'))
    case 'own':
      throw Object.assign(new TypeError('own', { cause: make(end[1], 'given') }), {
        code: 'E_OWN',
        own: make(end[1], 'given'),
      })
    case 'unrecoverable':
      throw new UnrecoverableError('for good', { cause: make(end[1], 'given') })
    case 'thenable': {
      const value = make(end[1], 'given')
      // biome-ignore lint/suspicious/noThenProperty: what a handler may return
      return { then: (resolve: (value: unknown) => void) => resolve({ it: value }) }
    }
    case 'move': {
      const bytes = new Uint8Array(end[1]).fill(7)
      return ctx.transfer({ bytes }, [bytes.buffer])
    }
    case 'wait':
      return waited(end[1], ctx, open)
  }
}

async function waited(
  then: 'reason' | 'result' | 'error',
  ctx: HandlerContext,
  open: readonly unknown[],
): Promise<unknown> {
  const { signal } = ctx
  await Promise.all(open)
  const { promise, resolve } = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => resolve(), { once: true })
  ctx.log.info(WAITING)
  await promise
  if (then === 'reason') throw signal.reason
  if (then === 'error') throw new Error('another error')
  return 'a result all the same'
}
