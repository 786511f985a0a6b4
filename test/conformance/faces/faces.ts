/** All faces, in the order of the matrix. */
import type { Face } from './face.ts'
import { fastifyFace } from './fastify.ts'
import { h3Face } from './h3.ts'
import { honoFace } from './hono.ts'
import { koaFace } from './koa.ts'
import { expressFace, plainFace, polka05Face, polkaFace } from './middlewares.ts'
import { nestFace, nestFastifyFace } from './nest.ts'

export const faces: readonly Face[] = [
  polkaFace,
  polka05Face,
  plainFace,
  expressFace,
  fastifyFace,
  honoFace,
  koaFace,
  h3Face,
  nestFace,
  nestFastifyFace,
]
