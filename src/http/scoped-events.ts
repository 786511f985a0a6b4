/**
 * Events of a request and its response belong to the request. Node emits most of them where bytes came in, in the context
 * of the connection: `after()` in `req.on('end')`, in `res.on('close')`, or in what happens within a stream that the request
 * is piped to, would be outside of the request, where nothing waits for the response.
 */
import { EventEmitter } from 'node:events'
import { isWithin, within } from './context.ts'
import type { OpenRequest } from './open-request.ts'
import { OpenResponse } from './open-response.ts'
import type { AnyRequest, AnyResponse } from './response-end.ts'

const responseOf: unique symbol = Symbol('aftertask.response')

const plainEmit = EventEmitter.prototype.emit

type ScopedRequest = AnyRequest & { [responseOf]?: AnyResponse }

/** Lets listeners of a request and its response find what `after` adds to, which is from now on `jobs`. */
export function scopeEvents(req: ScopedRequest, res: AnyResponse, jobs: OpenRequest): void {
  const isFirst = jobs.response.scope === null
  jobs.response.scope = jobs
  if (!isFirst) return
  req[responseOf] = res
  // One function for all requests, which finds its request by `this`: no closure for each.
  req.emit = req.emit === plainEmit ? emitOfRequest : scoped(req.emit, res)
  res.emit = res.emit === plainEmit ? emitOfResponse : scoped(res.emit, res)
}

function emitOfRequest(this: ScopedRequest, name: string, ...more: unknown[]): boolean {
  // Most events of most requests are for nobody, and what is for nobody needs no scope.
  if (this.listenerCount(name) === 0) return plainEmit.call(this, name, ...more)
  return emitIn(this[responseOf], plainEmit, this, [name, ...more])
}

function emitOfResponse(this: AnyResponse, name: string, ...more: unknown[]): boolean {
  if (this.listenerCount(name) === 0) return plainEmit.call(this, name, ...more)
  return emitIn(this, plainEmit, this, [name, ...more])
}

/** Somebody else has replaced `emit` before. */
function scoped(emit: EventEmitter['emit'], res: AnyResponse): EventEmitter['emit'] {
  return function emitScoped(this: unknown, ...event: unknown[]): boolean {
    return emitIn(res, emit, this, event)
  }
}

function emitIn(
  res: AnyResponse | undefined,
  emit: EventEmitter['emit'],
  self: unknown,
  event: unknown[],
): boolean {
  const response = res === undefined ? undefined : OpenResponse.of(res)
  if (response === undefined || isWithin(response)) return Reflect.apply(emit, self, event)
  return within(response.scope as OpenRequest, () => Reflect.apply(emit, self, event))
}
