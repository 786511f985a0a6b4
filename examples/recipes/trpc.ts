/** tRPC on node:http: each call of a batch has jobs with a fate of its own. */
// #region mount
import { createServer } from 'node:http'
import { initTRPC, TRPCError } from '@trpc/server'
import { createHTTPHandler } from '@trpc/server/adapters/standalone'
import { createRuntime, shutdown } from 'aftertask'
import { type After, afterResponse } from 'aftertask/http'
import { z } from 'zod'
import { reportFailure, sendWelcome } from '../frameworks/tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })
const jobs = afterResponse(runtime)

const t = initTRPC.context<{ after: After }>().create()
// #endregion mount

// #region failures
/** A batch is one request, and answers 207 when some of its calls failed: so each call says by itself whether its jobs run. */
const call = t.procedure.use(async ({ next }) => {
  let isOk = false
  const result = await next({ ctx: { whenOk: () => isOk, whenError: () => !isOk } })
  isOk = result.ok
  return result
})
// #endregion failures

// #region add
const router = t.router({
  signup: call
    .input(z.object({ to: z.email() }))
    .mutation(({ ctx, input }) => ({ job: ctx.after('email.welcome', input).id })),
  broken: call.mutation(({ ctx }) => {
    ctx.after('email.welcome', { to: 'nobody@b.dev' }, { when: ctx.whenOk }) // skipped
    ctx.after('failure.report', { url: '/broken' }, { when: ctx.whenError }) // runs
    throw new TRPCError({ code: 'CONFLICT' })
  }),
})

const handler = createHTTPHandler({ router, createContext: ({ req }) => ({ after: req.after }) })
export const server = createServer((req, res) => jobs(req, res, () => handler(req, res)))
// #endregion add

// #region stop
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
export const stopping = shutdown(server, runtime)
// #endregion stop
