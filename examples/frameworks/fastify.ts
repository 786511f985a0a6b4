/** The same small app as its neighbours, on Fastify. */
// #region mount
import { createRuntime } from 'aftertask'
import aftertask from 'aftertask/fastify'
import Fastify from 'fastify'
import { reportFailure, sendWelcome } from './tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })

const app = Fastify()
await app.register(aftertask, { runtime }) // before the routes
// #endregion mount

// #region add
app.post<{ Body: { to: string } }>('/signup', async (request, reply) => {
  const job = request.after('email.welcome', { to: request.body.to })
  return reply.code(202).send({ job: job.id })
})
// #endregion add

// #region failures
app.get('/broken', async (request) => {
  request.after('failure.report', { url: request.url }, { when: 'error' })
  throw Object.assign(new Error('broken'), { statusCode: 409 })
})
// #endregion failures

// #region stop
process.once('SIGTERM', () => app.close()) // the plugin stops the runtime once the last response is over
runtime.on('runtime:stopped', ({ lost }) => {
  if (lost > 0) process.exitCode = 1
})
await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' })
// #endregion stop
