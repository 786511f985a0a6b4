/** aftertask/fastify: a plugin for Fastify 5: jobs after the response. */
// Loads the types of Node where `tsc --init` has set `types: []`.
/// <reference types="node" preserve="true" />
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { AnyRuntime } from '../../engine/runtime.ts'
import type { RuntimeOptions } from '../../engine/runtime-options.ts'
import { isThenable } from '../../words/thenables.ts'
import { type AfterResponseOptions, openFor, readPolicy, runtimeOf } from '../after-response.ts'
import type { OpenRequest } from '../open-request.ts'
import { OpenResponse } from '../open-response.ts'
import type { After, TryAfter } from '../req-after.ts'
import { readStopTimeout } from './own-stop.ts'

export type { AfterResponseOptions } from '../after-response.ts'
export { failed } from '../after-response.ts'
export type { After, TryAfter } from '../req-after.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Adds a job that starts once this request's response is over. Put there by the plugin. */
    after: After
    /** As `after`, but null when the queue is full. */
    tryAfter: TryAfter
  }
  interface FastifyInstance {
    /** The runtime that takes the jobs: the one given to the plugin, or the one made from the options given. */
    aftertask: AnyRuntime
  }
}

/** What the plugin takes. */
export interface AftertaskPluginOptions extends AfterResponseOptions {
  /** The runtime that takes the jobs, or the options of one, which the plugin then makes: `app.aftertask`. */
  runtime: AnyRuntime | RuntimeOptions
  /**
   * Milliseconds that jobs get to finish once `app.close()` has seen the last response, or false to leave the runtime running.
   * Default 10,000.
   */
  stopTimeout?: number | false
}

/**
 * Gives every request `request.after` and `request.tryAfter`: jobs that start once the response is over. Register it before the
 * routes: `app.register(aftertask, { runtime })`. `app.close()` stops the runtime.
 *
 * Whatever reaches Fastify's `onError` means that the request has failed, whatever the status of the answer: what handlers and
 * hooks throw or send as an error, and what does not fit the schema of the route.
 *
 * @throws OptionsInvalidError when an option is unknown (with the nearest known one) or has a bad value.
 */
const aftertask: FastifyPluginAsync<AftertaskPluginOptions> = async (app, given) => {
  const { runtime: what, stopTimeout: asked, ...options } = given
  const runtime = runtimeOf(what, 'aftertask/fastify', 'Write app.register(aftertask, { runtime }).')
  const stopTimeout = readStopTimeout('aftertask/fastify', asked)
  const policy = readPolicy(runtime, options, 'aftertask/fastify')
  decorate(app, runtime)
  app.addHook('onRequest', (request, reply, next) => {
    const open = openFor(policy, request.raw, reply.raw)
    request.after = open.after
    request.tryAfter = open.tryAfter
    // In its callback form: what an asynchronous hook resolves is outside of what it has run.
    open.run(next)
  })
  app.addHook('onRoute', (route) => {
    route.handler = followed(route.handler)
  })
  app.addHook('onError', (_request, reply, error, next) => {
    OpenResponse.of(reply.raw)?.notice(error)
    next()
  })
  // The response itself has the status only when its head is written, which a client that has left prevents.
  app.addHook('onSend', (_request, reply, _payload, next) => {
    OpenResponse.of(reply.raw)?.willAnswer(reply.statusCode)
    next()
  })
  if (stopTimeout !== false) {
    app.addHook('onClose', async () => {
      await runtime.stop({ timeout: stopTimeout })
    })
  }
}

export default aftertask

// What fastify-plugin does: the hooks are for the whole app, and for Fastify 5.
Object.assign(aftertask, {
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'aftertask',
  [Symbol.for('plugin-meta')]: { name: 'aftertask', fastify: '5.x' },
})

/** A second runtime on the same app finds the decorations there. */
function decorate(app: FastifyInstance, runtime: AnyRuntime): void {
  if (!app.hasDecorator('aftertask')) app.decorate('aftertask', runtime)
  for (const name of ['after', 'tryAfter'] as const) {
    if (!app.hasRequestDecorator(name)) app.decorateRequest(name, null as unknown as OpenRequest[typeof name])
  }
}

type RouteHandler = RouteOptions['handler']

/** A handler whose promise the request knows: jobs do not overtake it when the client leaves. */
function followed(handler: RouteHandler): RouteHandler {
  return function followedHandler(this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) {
    const result: unknown = handler.call(this, request, reply)
    const response = OpenResponse.of(reply.raw)
    if (response !== undefined && isThenable(result)) {
      const tell = (): void => response.willAnswer(reply.statusCode)
      const fail = (error: unknown): void => response.notice(error)
      response.follow(Promise.resolve(result).then(tell, fail))
    }
    return result
  } as RouteHandler
}
