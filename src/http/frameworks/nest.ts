/** aftertask/nest: a module for NestJS 12 and 11, on Express or Fastify: jobs after the response. */
// Loads the types of Node where `tsc --init` has set `types: []`: `req.after` is declared on its requests.
/// <reference types="node" preserve="true" />
import {
  type CallHandler,
  type DynamicModule,
  type ExecutionContext,
  Inject,
  Injectable,
  type MiddlewareConsumer,
  Module,
  type ModuleMetadata,
  type NestInterceptor,
  type NestModule,
  type OnApplicationShutdown,
} from '@nestjs/common'
import { APP_INTERCEPTOR } from '@nestjs/core'
import { Observable } from 'rxjs'
import type { AnyRuntime } from '../../engine/runtime.ts'
import type { RuntimeOptions } from '../../engine/runtime-options.ts'
import type { RegisteredTask } from '../../rules/registry.ts'
import { type AfterResponseOptions, makeAfterResponse, runtimeOf } from '../after-response.ts'
import { after } from '../context.ts'
import { OpenResponse } from '../open-response.ts'
import type { After } from '../req-after.ts'
import type { AnyResponse } from '../response-end.ts'
import { readStopTimeout } from './own-stop.ts'

export type { AfterResponseOptions } from '../after-response.ts'
export { failed } from '../after-response.ts'
export type { After, TryAfter } from '../req-after.ts'

/** What the module takes. */
export interface AftertaskModuleOptions extends AfterResponseOptions {
  /** The runtime that takes the jobs, or the options of one, which the module then makes: `aftertask.runtime`. */
  runtime: AnyRuntime | RuntimeOptions
  /**
   * Milliseconds that jobs get to finish once the server has closed, or false to leave the runtime running. Default 10,000.
   * The module stops it in `onApplicationShutdown`: call `app.enableShutdownHooks()` for signals.
   */
  stopTimeout?: number | false
}

/** How `forRootAsync` comes by the options. */
export interface AftertaskModuleAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  /** The providers that `useFactory` is given. */
  inject?: readonly unknown[]
  /** Makes the options. */
  useFactory(...given: never[]): AftertaskModuleOptions | Promise<AftertaskModuleOptions>
}

/** What the module is made of: the runtime and its options, read once. */
interface Parts {
  readonly runtime: AnyRuntime
  readonly middleware: (req: never, res: never, next: () => unknown) => unknown
  readonly stopTimeout: number | false
}

const PARTS = Symbol('aftertask.parts')

function makeParts({ runtime: given, stopTimeout, ...options }: AftertaskModuleOptions): Parts {
  const runtime = runtimeOf(given, 'AftertaskModule', 'Write AftertaskModule.forRoot({ runtime }).')
  const middleware = makeAfterResponse({ answer: passOn }, runtime, options)
  return { runtime, middleware, stopTimeout: readStopTimeout('AftertaskModule', stopTimeout) }
}

/** Adds jobs from any provider: inject it, and call `aftertask.after('email.welcome', { to })`. */
export class Aftertask {
  /**
   * Adds a job that starts once the response of the current request is over; what it throws is what `after` from `aftertask`
   * throws, ERR_NO_REQUEST outside of a request included: use `runtime.enqueue` there.
   */
  readonly after: After<RegisteredTask> = after
  /** The runtime that takes the jobs. */
  readonly runtime: AnyRuntime

  /** @internal */
  constructor(parts: Parts) {
    this.runtime = parts.runtime
  }
}

/** Notes what handlers, pipes and inner interceptors throw, and how long the handler is at work. */
export class AftertaskInterceptor implements NestInterceptor {
  /** @internal */
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const response = context.getType() === 'http' ? openResponseOf(context) : undefined
    if (response === undefined) return next.handle()
    const handler = Promise.withResolvers<void>()
    response.follow(handler.promise)
    return new Observable((subscriber) => {
      const work = next.handle().subscribe({
        next: (value) => subscriber.next(value),
        error: (error: unknown) => {
          response.notice(error)
          subscriber.error(error)
        },
        complete: () => subscriber.complete(),
      })
      work.add(() => handler.resolve())
      return work
    })
  }
}

/**
 * The module: `imports: [AftertaskModule.forRoot({ runtime })]` in the root module. Every request has `req.after`, every provider
 * can inject `Aftertask`, and the runtime stops with the app. What controllers throw is noticed whatever a filter answers;
 * of what guards and middlewares throw the status tells, 500 and above.
 */
export class AftertaskModule implements NestModule, OnApplicationShutdown {
  readonly #parts: Parts

  /** @internal */
  constructor(parts: Parts) {
    this.#parts = parts
  }

  /**
   * @throws OptionsInvalidError when an option is unknown (with the nearest known one) or has a bad value.
   */
  static forRoot(options: AftertaskModuleOptions): DynamicModule {
    const parts = makeParts(options)
    return moduleWith({ provide: PARTS, useValue: parts })
  }

  /** As `forRoot`, with options that other providers have a say in. */
  static forRootAsync({ imports = [], inject = [], useFactory }: AftertaskModuleAsyncOptions): DynamicModule {
    const make = async (...given: unknown[]): Promise<Parts> =>
      makeParts(await Reflect.apply(useFactory, undefined, given))
    return { ...moduleWith({ provide: PARTS, useFactory: make, inject: [...inject] as never[] }), imports }
  }

  /** @internal */
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(this.#parts.middleware as never).forRoutes('{*aftertask}')
  }

  /** @internal */
  async onApplicationShutdown(): Promise<void> {
    const { runtime, stopTimeout } = this.#parts
    if (stopTimeout !== false) await runtime.stop({ timeout: stopTimeout })
  }
}

// What decorators do, written so that it needs none: these files run with their types stripped.
Injectable()(Aftertask)
Inject(PARTS)(Aftertask, undefined, 0)
Injectable()(AftertaskInterceptor)
Module({})(AftertaskModule)
Inject(PARTS)(AftertaskModule, undefined, 0)

function moduleWith(parts: NonNullable<DynamicModule['providers']>[number]): DynamicModule {
  return {
    module: AftertaskModule,
    global: true,
    providers: [parts, Aftertask, { provide: APP_INTERCEPTOR, useClass: AftertaskInterceptor }],
    exports: [Aftertask],
  }
}

/** Express gives its response, Fastify a reply around it. */
function openResponseOf(context: ExecutionContext): OpenResponse | undefined {
  const answer = context.switchToHttp().getResponse<AnyResponse & { raw?: AnyResponse }>()
  return OpenResponse.of(answer.raw ?? answer)
}

function passOn(error: unknown, _req: unknown, _res: unknown, next: (error: unknown) => unknown): unknown {
  return next(error)
}
