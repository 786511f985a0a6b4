import 'reflect-metadata'
import type { Server } from 'node:http'
import {
  type CanActivate,
  Controller,
  type ExceptionFilter,
  ForbiddenException,
  Get,
  Inject,
  Injectable,
  Module,
  UseGuards,
} from '@nestjs/common'
import { APP_FILTER, NestFactory } from '@nestjs/core'
import { expect, onTestFinished, test } from 'vitest'
import { Aftertask, AftertaskModule, type AftertaskModuleOptions } from '../../../src/http/frameworks/nest.ts'
import { createRuntime, type Job, type ResponseFacts } from '../../../src/index.ts'
import { note } from '../../fixtures/http-tasks.ts'
import { handOver, httpRuntime } from '../../kit/jobs.ts'
import { get } from '../../kit/serve.ts'

const runtime = httpRuntime()

type Provider = NonNullable<Parameters<typeof Module>[0]['providers']>[number]

/** An app of one controller, whose only route does `work` with the injected service. */
async function appOf(
  work: (aftertask: Aftertask) => unknown,
  {
    providers = [],
    guard,
    options = { runtime, stopTimeout: false },
  }: {
    providers?: Provider[]
    guard?: new () => CanActivate
    options?: AftertaskModuleOptions
  } = {},
): Promise<{ port: number; close: () => Promise<void> }> {
  class Jobs {
    readonly aftertask: Aftertask
    constructor(aftertask: Aftertask) {
      this.aftertask = aftertask
    }
  }
  Injectable()(Jobs)
  Inject(Aftertask)(Jobs, undefined, 0)
  class Routes {
    readonly jobs: Jobs
    constructor(jobs: Jobs) {
      this.jobs = jobs
    }
    answer(): unknown {
      return work(this.jobs.aftertask)
    }
  }
  Inject(Jobs)(Routes, undefined, 0)
  Controller()(Routes)
  const descriptor = Object.getOwnPropertyDescriptor(Routes.prototype, 'answer') as PropertyDescriptor
  Get('/')(Routes.prototype, 'answer', descriptor)
  if (guard !== undefined) UseGuards(guard)(Routes)
  class App {}
  const imports = [AftertaskModule.forRoot(options)]
  Module({ imports, controllers: [Routes], providers: [Jobs, ...providers] })(App)
  const app = await NestFactory.create(App, { logger: false, forceCloseConnections: true })
  onTestFinished(() => app.close())
  await app.listen(0, '127.0.0.1')
  const address = (app.getHttpServer() as Server).address()
  if (typeof address !== 'object' || address === null) throw new Error('Nest does not listen')
  return { port: address.port, close: () => app.close() }
}

test('a provider of Nest adds jobs through the injected service', async () => {
  const added = handOver()
  const { port } = await appOf(async ({ after }) => {
    await new Promise(setImmediate)
    const job = after(note as never, { text: 'injected' } as never) as Job
    added.give(job)
    return job.state
  })
  expect(await (await get(port)).text()).toBe('held')
  expect((await (await added.job).settled).state).toBe('completed')
})

test('an exception filter of Nest that answers with 200 does not hide what a controller throws', async () => {
  const { promise, resolve } = Promise.withResolvers<ResponseFacts>()
  const filter: ExceptionFilter = {
    catch: (_error, host) => host.switchToHttp().getResponse().status(200).send('fine'),
  }
  const error = new Error('thrown')
  const { port } = await appOf(
    ({ after }) => {
      const when = (facts: ResponseFacts): boolean => {
        resolve(facts)
        return true
      }
      after(note as never, { text: 'filtered' } as never, { when } as never)
      throw error
    },
    { providers: [{ provide: APP_FILTER, useValue: filter }] },
  )
  expect((await get(port)).status).toBe(200)
  expect(await promise).toMatchObject({ error, statusCode: 200 })
})

test('a guard of Nest that refuses answers as it does without jobs', async () => {
  const guard = class implements CanActivate {
    canActivate(): boolean {
      throw new ForbiddenException()
    }
  }
  const { port } = await appOf(() => 'never', { guard })
  expect((await get(port)).status).toBe(403)
})

test('app.close() of Nest stops the runtime, once its jobs are done', async () => {
  const own = createRuntime({ tasks: [note], pool: { threads: 1 }, log: false })
  const added = handOver()
  const { port, close } = await appOf(
    ({ after }) => {
      added.give(after(note as never, { text: 'last' } as never) as Job)
      return 'ok'
    },
    { options: { runtime: own } },
  )
  await get(port)
  await close()
  expect((await added.job).state).toBe('completed')
  expect(() => own.enqueue(note, { text: 'x' })).toThrow(
    expect.objectContaining({ code: 'ERR_RUNTIME_STOPPED' }),
  )
})

test('forRootAsync of Nest waits for options that other providers have a say in', async () => {
  class App {}
  const module = AftertaskModule.forRootAsync({
    useFactory: async () => ({ runtime, stopTimeout: false }),
  })
  Module({ imports: [module] })(App)
  const app = await NestFactory.createApplicationContext(App, { logger: false })
  expect(app.get(Aftertask).runtime).toBe(runtime)
  await app.close()
})

test('forRoot of Nest refuses what is no runtime', () => {
  expect(() => AftertaskModule.forRoot({ runtime: 5 as never })).toThrow(
    expect.objectContaining({ code: 'ERR_OPTIONS_INVALID', path: 'runtime' }),
  )
})

test('forRoot of Nest refuses a stopTimeout that is no time', () => {
  expect(() => AftertaskModule.forRoot({ runtime, stopTimeout: 'soon' as never })).toThrow(
    expect.objectContaining({ code: 'ERR_OPTIONS_INVALID', path: 'option stopTimeout' }),
  )
})
