import Fastify, { type FastifyInstance } from 'fastify'
import { onTestFinished } from 'vitest'
import aftertask from '../../../src/http/frameworks/fastify.ts'
import { type Add, errorWithStatus, type Face, type Serving } from './face.ts'

async function appOf({ runtime, route, everywhere, more = [], options }: Serving): Promise<FastifyInstance> {
  const app = Fastify({ forceCloseConnections: true })
  for (const each of [runtime, ...more])
    await app.register(aftertask, { runtime: each, stopTimeout: false, ...options })
  app.addHook('onRequest', (request, reply, done) => {
    everywhere?.({ after: request.after as unknown as Add, req: request.raw, res: reply.raw })
    done()
  })
  app.get('/', async (request, reply) => {
    const turn = { after: request.after as unknown as Add, req: request.raw, res: reply.raw }
    const { status = 200, body = 'done', isSent } = await route(turn)
    if (isSent) return reply.hijack()
    return reply.code(status).send(status === 204 || status === 304 ? undefined : body)
  })
  onTestFinished(async () => {
    await app.close()
  })
  return app
}

export const fastifyFace: Face = {
  name: 'Fastify 5',
  failure: errorWithStatus,
  async serve(serving) {
    const app = await appOf(serving)
    await app.listen({ port: 0, host: '127.0.0.1' })
    const address = app.server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  },
  async inject(serving) {
    const app = await appOf(serving)
    return (await app.inject('/')).statusCode
  },
}
