import 'reflect-metadata'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import {
  Controller,
  Get,
  HttpException,
  type INestApplication,
  type MiddlewareConsumer,
  Module,
  Req,
  Res,
  StreamableFile,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import { onTestFinished } from 'vitest'
import { AftertaskModule } from '../../../src/http/frameworks/nest.ts'
import type { Add, Face, Serving, Turn } from './face.ts'

function turnOf(req: IncomingMessage, res: ServerResponse): Turn {
  return { after: req.after as unknown as Add, req, res }
}

/** What Express and Fastify answer with: a response, and a reply around one. */
interface Reply {
  readonly raw?: ServerResponse
  status(code: number): Reply
  send(body: unknown): unknown
  hijack?(): unknown
}

/** A root module as an app has it, put together without decorators, which stripped types cannot have. */
function moduleOf({ runtime, route, everywhere, more = [], options }: Serving): new () => object {
  class Routes {
    async answer(given: IncomingMessage & { raw?: IncomingMessage }, reply: Reply): Promise<unknown> {
      const res = reply.raw ?? (reply as unknown as ServerResponse)
      const { status = 200, body = 'done', isSent } = await route(turnOf(given.raw ?? given, res))
      if (isSent) return reply.hijack?.()
      reply.status(status)
      if (!(body instanceof Readable) || reply.raw !== undefined)
        return void reply.send(status === 204 || status === 304 ? undefined : body)
      body.on('error', (error) => res.destroy(error))
      return void new StreamableFile(body).getStream().pipe(res)
    }
  }
  const descriptor = Object.getOwnPropertyDescriptor(Routes.prototype, 'answer') as PropertyDescriptor
  Controller()(Routes)
  Get('/')(Routes.prototype, 'answer', descriptor)
  Req()(Routes.prototype, 'answer', 0)
  Res()(Routes.prototype, 'answer', 1)
  class App {
    configure(consumer: MiddlewareConsumer): void {
      consumer
        .apply((req: IncomingMessage, res: ServerResponse, next: () => void) => {
          everywhere?.(turnOf(req, res))
          next()
        })
        .forRoutes('{*path}')
    }
  }
  const imports = [runtime, ...more].map((each) =>
    AftertaskModule.forRoot({ runtime: each, stopTimeout: false, ...options }),
  )
  Module({ imports, controllers: [Routes] })(App)
  return App
}

function faceOf(name: string, makeApp: (root: new () => object) => Promise<INestApplication>): Face {
  return {
    name,
    failure: (status) => new HttpException('failed', status),
    async serve(serving) {
      const app = await makeApp(moduleOf(serving))
      onTestFinished(() => app.close())
      await app.listen(0, '127.0.0.1')
      const address = (app.getHttpServer() as Server).address()
      return typeof address === 'object' && address !== null ? address.port : 0
    },
  }
}

export const nestFace = faceOf('NestJS 12', (root) =>
  NestFactory.create(root, { logger: false, forceCloseConnections: true }),
)

export const nestFastifyFace = faceOf('NestJS 12, Fastify', (root) =>
  NestFactory.create(root, new FastifyAdapter({ forceCloseConnections: true }), { logger: false }),
)
