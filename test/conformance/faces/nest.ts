import 'reflect-metadata'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import {
  Controller,
  Get,
  HttpException,
  type MiddlewareConsumer,
  Module,
  Req,
  Res,
  StreamableFile,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { onTestFinished } from 'vitest'
import { AftertaskModule } from '../../../src/http/frameworks/nest.ts'
import type { Add, Face, Serving, Turn } from './face.ts'

function turnOf(req: IncomingMessage, res: ServerResponse): Turn {
  return { after: req.after as unknown as Add, req, res }
}

type ExpressLike = ServerResponse & { status(code: number): ExpressLike; send(body: unknown): unknown }

/** A root module as an app has it, put together without decorators, which stripped types cannot have. */
function moduleOf({ runtime, route, everywhere, more = [], options }: Serving): new () => object {
  class Routes {
    async answer(req: IncomingMessage, res: ExpressLike): Promise<unknown> {
      const { status = 200, body = 'done', isSent } = await route(turnOf(req, res))
      if (isSent) return undefined
      res.status(status)
      if (!(body instanceof Readable)) return void res.send(body)
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

export const nestFace: Face = {
  name: 'NestJS 12',
  failure: (status) => new HttpException('failed', status),
  async serve(serving) {
    const app = await NestFactory.create(moduleOf(serving), { logger: false, forceCloseConnections: true })
    onTestFinished(() => app.close())
    await app.listen(0, '127.0.0.1')
    const address = (app.getHttpServer() as Server).address()
    return typeof address === 'object' && address !== null ? address.port : 0
  },
}
