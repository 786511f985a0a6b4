/** What a user's program does with types, and what the compiler is to refuse in it. */
import type { IncomingMessage } from 'node:http'
import { createRuntime, defineTask, type Handler, type HandlerContext, type Runtime } from 'aftertask'
import type { openRequest } from 'aftertask/adapter'
import type { AftertaskError } from 'aftertask/errors'
import { afterResponse } from 'aftertask/http'
import type { sqliteBroker } from 'aftertask/sqlite'
import { createTestRuntime, expectJob, isolationSuite } from 'aftertask/testing'
import 'aftertask/testing/node'
import { z } from 'zod'

const mail = defineTask({
  name: 'mail',
  payload: z.object({ to: z.string(), copies: z.number().default(1) }),
  result: z.object({ id: z.string() }),
  handler: new URL('file:///mail.ts'),
})
const sweep = defineTask({ name: 'sweep', handler: 'file:///sweep.ts' })
const runtime = createRuntime({ tasks: [mail, sweep] })

declare module 'aftertask' {
  interface Register {
    runtime: typeof runtime
  }
}

export const handler: Handler<typeof mail> = async ({ to, copies }, ctx) => {
  const count: number = copies
  await ctx.enqueue('sweep')
  await ctx.enqueue('mail', { to })
  await ctx.enqueue(mail, { to, copies: count }, { delay: 5 })
  // @ts-expect-error no task has this name
  await ctx.enqueue('mial', { to })
  // @ts-expect-error the payload has no such type
  await ctx.enqueue('mail', { to: 3 })
  // @ts-expect-error the payload is missing
  await ctx.enqueue('mail')
  return { id: to }
}

/** A function that takes a runtime: the registered one. */
export async function welcome(of: Runtime, req: IncomingMessage): Promise<string> {
  of.enqueue('sweep')
  req.after('mail', { to: 'Ada' }, { when: 'always' })
  // @ts-expect-error the payload has no such type
  req.after(mail, { to: 3 })
  // @ts-expect-error no option has this name
  of.enqueue('mail', { to: 'Ada' }, { dely: 3 })
  of.on('job:completed', 'mail', ({ result }) => void result.id.length)
  const { id } = await of.enqueue('mail', { to: 'Ada' }).result()
  return id
}

// @ts-expect-error a path is no URL
defineTask({ name: 'path', handler: './sweep.ts' })

/** The kit. */
export async function kit(): Promise<void> {
  await using test = createTestRuntime({ tasks: [mail, sweep], mode: 'manual', failOnLeft: true })
  expectJob(test, mail, { to: 'Ada' }).payload.copies.toFixed(0)
  // @ts-expect-error the payload has no such key
  expectJob(test, mail, { from: 'Ada' })
  await isolationSuite(test, { payloads: { mail: { to: 'Ada' } }, except: { sweep: ['twice'] } })
  const { result } = await test.perform('mail', { to: 'Ada' })
  result?.id.length.toFixed(0)
}

export const jobs = afterResponse(runtime)
export type Others = [AftertaskError, HandlerContext, typeof openRequest, typeof sqliteBroker]
