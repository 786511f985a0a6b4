/**
 * Notices the errors of Polka's handlers. Polka takes an error straight to the app's `onError`: nothing of it comes
 * back through the `next()` of a middleware, and a custom `onError` may well answer with a status below 500.
 *
 * Both versions put the handlers of a request into an array made for that request and call them as its members,
 * `handlers[i++](req, res, next)`, so that a middleware finds the array in `this`. Those that are still to come are
 * replaced there by ones that note what goes wrong; the app, its routes and other requests are not touched. Called in
 * any other way, nothing is replaced, and `onError` of the middleware is there for that.
 */
import { types } from 'node:util'
import { describeValue, memberOf } from '../words/describe.ts'
import { OpenResponse } from './open-response.ts'
import { answer } from './polka-answer.ts'
import type { AnyRequest, AnyResponse } from './response-end.ts'

type Next = (error?: unknown) => unknown
type PolkaHandler = (req: AnyRequest, res: AnyResponse, next: Next) => unknown

/** Each handler has one watched form, which is made at its first request. */
const watchedForms = new WeakMap<PolkaHandler, PolkaHandler>()
const watched = new WeakSet<PolkaHandler>()

/**
 * Replaces the handlers behind a middleware in Polka's arrays by their watched forms. What stood at a place last time, and
 * its form, are kept at hand: the handlers of an app are mostly the same ones, and looking them up costs more than that.
 */
export class HandlerWatch {
  readonly #seen: unknown[] = []
  readonly #forms: PolkaHandler[] = []

  /** `handlers` is the array of one request, in which `self` stands. */
  replace(handlers: unknown, self: unknown): void {
    if (!Array.isArray(handlers)) return
    for (let at = handlers.indexOf(self) + 1; at > 0 && at < handlers.length; at++) {
      const handler: unknown = handlers[at]
      if (handler === this.#seen[at]) handlers[at] = this.#forms[at]
      else if (typeof handler === 'function') {
        const form = watchedForm(handler as PolkaHandler)
        this.#seen[at] = handler
        this.#forms[at] = form
        handlers[at] = form
      }
    }
  }
}

function watchedForm(handler: PolkaHandler): PolkaHandler {
  if (watched.has(handler)) return handler
  const known = watchedForms.get(handler)
  if (known !== undefined) return known
  const form = function watchedHandler(
    this: unknown,
    req: AnyRequest,
    res: AnyResponse,
    next: Next,
  ): unknown {
    const response = OpenResponse.of(res)
    if (response === undefined) return handler.call(this, req, res, next)
    const noting: Next = (error) => {
      if (error) response.notice(error)
      return next(error)
    }
    if (!keepsErrors(req)) return handleForPolka05(handler, this, { req, res, next: noting })
    try {
      const result = handler.call(this, req, res, noting)
      // Polka handles the rejection itself; this looks on from the side.
      if (types.isPromise(result)) result.then(undefined, (error: unknown) => response.notice(error))
      return result
    } catch (error) {
      response.notice(error)
      throw error
    }
  }
  watchedForms.set(handler, form)
  watched.add(form)
  return form
}

/**
 * Polka 0.5 catches nothing: what a handler throws or rejects with would end the process. Here it goes where Polka 1.0 takes
 * it, to `next(error)` and so to the app's `onError`.
 */
function handleForPolka05(
  handler: PolkaHandler,
  self: unknown,
  { req, res, next }: { readonly req: AnyRequest; readonly res: AnyResponse; readonly next: Next },
): unknown {
  // Nothing but an error may go on to the next handler.
  const fail = (error: unknown): unknown => {
    // Polka's own onError answers once more, which emits an error that nobody hears; the client has its answer.
    if (res.writableEnded) res.on('error', () => {})
    return pass(error || new Error(`A handler threw ${describeValue(error)}.`))
  }
  const pass: Next = (error) => {
    if (!error) return next()
    try {
      return next(error)
    } catch (thrown) {
      // Polka's own onError takes `code` for a status, and Node refuses one such as "ERR_QUEUE_FULL".
      if (res.headersSent || codeOf(thrown) !== 'ERR_HTTP_INVALID_STATUS_CODE') throw thrown
      return answer(error, req, res)
    }
  }
  try {
    const result = handler.call(self, req, res, pass)
    return types.isPromise(result) ? result.catch(fail) : result
  } catch (error) {
    return fail(error)
  }
}

function codeOf(error: unknown): unknown {
  return memberOf(error, 'code')
}

/** True for Polka 1.0, which takes what a handler throws to onError itself. What tells it from 0.5 is the shape of the parsed URL. */
export function keepsErrors(req: AnyRequest): boolean {
  const parsed = '_parsedUrl' in req ? req._parsedUrl : undefined
  return typeof parsed === 'object' && parsed !== null && 'raw' in parsed
}
