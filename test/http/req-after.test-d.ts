import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import polka, { type Request, type Response } from 'polka'
import { describe, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { afterResponse as afterAnyResponse } from '../../src/http/index.ts'
import { afterResponse } from '../../src/http/polka.ts'
import {
  type After,
  type AnyTask,
  createRuntime,
  defineTask,
  type Job,
  type Runtime,
} from '../../src/index.ts'

const mail = defineTask({
  name: 'mail',
  payload: z.object({ to: z.string(), at: z.coerce.date().optional() }),
  result: z.object({ id: z.number() }),
  handler: new URL('./mail.ts', import.meta.url),
})
const sweep = defineTask({ name: 'sweep', handler: new URL('./sweep.ts', import.meta.url) })

declare const addJob: After<typeof mail | typeof sweep>
declare const req: IncomingMessage
declare const http2Req: Http2ServerRequest

describe('req.after', () => {
  test('by name: payload and result are those of the task', () => {
    expectTypeOf(addJob('mail', { to: 'a' })).toEqualTypeOf<Job<{ id: number }>>()
    expectTypeOf(addJob('mail', { to: 'a' }, { delay: 5 }).result()).resolves.toEqualTypeOf<{ id: number }>()
    // @ts-expect-error the payload has no such type
    addJob('mail', { to: 1 })
    // @ts-expect-error the payload is missing
    addJob('mail')
    // @ts-expect-error no task has this name
    addJob('mial', { to: 'a' })
    // @ts-expect-error no option has this name
    addJob('mail', { to: 'a' }, { dely: 5 })
  })

  test('by the task object: payload and result are those of the task', () => {
    expectTypeOf(addJob(mail, { to: 'a' })).toEqualTypeOf<Job<{ id: number }>>()
    // @ts-expect-error the payload has no such type
    addJob(mail, { to: 1 })
  })

  test('a task without a payload takes none', () => {
    addJob('sweep')
    addJob(sweep)
    addJob(sweep, undefined, { delay: 5 })
  })

  test('is on every request, and takes any name as long as no runtime is registered', () => {
    expectTypeOf(req.after).toEqualTypeOf<After<AnyTask>>()
    expectTypeOf(http2Req.after).toEqualTypeOf<After<AnyTask>>()
    req.after('whatever', { any: 'thing' })
    expectTypeOf(req.tryAfter(mail, { to: 'a' })).toEqualTypeOf<Job<{ id: number }> | null>()
    // @ts-expect-error a task object is typed without being registered
    req.after(mail, { to: 1 })
  })
})

describe('the events of a runtime', () => {
  const runtime = createRuntime({ tasks: [mail, sweep] })

  test('with a task or its name carry the result of its jobs', () => {
    runtime.on('job:completed', 'mail', ({ result, ran }) => {
      expectTypeOf(result).toEqualTypeOf<{ id: number }>()
      expectTypeOf(ran).toEqualTypeOf<number>()
    })
    runtime.on('job:completed', mail, ({ result }) => expectTypeOf(result).toEqualTypeOf<{ id: number }>())
    runtime.on('job:dead', sweep, ({ error }) => expectTypeOf(error).toEqualTypeOf<Error>())
    runtime.off('job:dead', 'sweep', () => {})
  })

  test('of every task carry any result, and those about no job take no task', () => {
    runtime.on('job:completed', ({ result }) => expectTypeOf(result).toEqualTypeOf<unknown>())
    // @ts-expect-error no task has this name
    runtime.on('job:completed', 'mial', () => {})
    // @ts-expect-error a thread is no job of a task
    runtime.on('thread:started', 'mail', () => {})
  })
})

describe('the place of a handler', () => {
  test('is a URL, and no path', () => {
    defineTask({ name: 'x', handler: 'file:///x.ts' })
    // @ts-expect-error a path is no URL
    defineTask({ name: 'x', handler: './x.ts' })
    // @ts-expect-error nor is one beside an export
    defineTask({ name: 'x', handler: { module: './x.ts', export: 'y' } })
  })
})

describe('afterResponse', () => {
  test('keeps the tasks of its runtime', () => {
    const runtime = createRuntime({ tasks: [mail, sweep] })
    expectTypeOf(afterResponse(runtime).runtime).toEqualTypeOf<Runtime<typeof mail | typeof sweep>>()
    expectTypeOf(afterAnyResponse({ tasks: [mail] }).runtime).toEqualTypeOf<Runtime<typeof mail>>()
  })

  test('its onError takes handlers written for Polka', () => {
    const tasks = afterResponse(createRuntime({ tasks: [mail] }), {
      baggage: (request) => ({ agent: request.headers['user-agent'] }),
    })
    polka({ onError: tasks.onError() })
    polka({
      onError: tasks.onError((error, request, res) => {
        expectTypeOf(error).toEqualTypeOf<unknown>()
        res.end(request.url)
      }),
    })
    polka({
      onError: tasks.onError(
        (error: string | Error, _req: Request, res: Response) => void res.end(String(error)),
      ),
    })
  })
})
