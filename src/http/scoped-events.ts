/**
 * Events of a request and its response belong to the request. Node emits most of them where bytes came in, in the context
 * of the connection: `after()` in `req.on('end')`, in `res.on('close')`, or in what happens within a stream that the request
 * is piped to, would be outside of the request, where nothing waits for the response.
 */
import { EventEmitter } from 'node:events'
import { ServerResponse } from 'node:http'
import { isWithin, within } from './context.ts'
import type { OpenRequest } from './open-request.ts'
import { OpenResponse } from './open-response.ts'
import type { AnyRequest, AnyResponse } from './response-end.ts'

const responseOf: unique symbol = Symbol('aftertask.response')

const plainEmit = EventEmitter.prototype.emit

type ScopedRequest = AnyRequest & { [responseOf]?: OpenResponse }

/** Lets listeners of a request and its response find what `after` adds to, which is from now on `jobs`. */
export function scopeEvents(req: ScopedRequest, res: AnyResponse, jobs: OpenRequest): void {
  const { response } = jobs
  const isFirst = response.scope === null
  response.scope = jobs
  if (!isFirst) return
  // One function for all requests, which finds its request by `this`: no closure for each.
  if (req.emit === plainEmit) {
    req[responseOf] = response
    req.emit = emitOfRequest
  } else req.emit = scoped(req.emit, response)
  if (res.emit === plainEmit) {
    res.emit = emitOfResponse
    if (res instanceof ServerResponse) response.tellingEmit = emitOfResponse
  } else res.emit = scoped(res.emit, response)
}

function emitOfRequest(this: ScopedRequest, name: string, ...more: unknown[]): boolean {
  // Most events of most requests are for nobody, and what is for nobody needs no scope.
  if (isForNobody(this, name)) return false
  const response = this[responseOf]
  if (response === undefined || isWithin(response)) return plainEmit.call(this, name, ...more)
  return emitWithin(response, plainEmit, this, [name, ...more])
}

function emitOfResponse(this: AnyResponse, name: string, ...more: unknown[]): boolean {
  const response = OpenResponse.of(this)
  if (response !== undefined && name === 'finish' && response.tellingEmit !== null) response.finished()
  if (isForNobody(this, name)) return false
  if (response === undefined || isWithin(response)) return plainEmit.call(this, name, ...more)
  return emitWithin(response, plainEmit, this, [name, ...more])
}

/** An error that nobody listens for is thrown, which is for the emitter to do. */
function isForNobody(emitter: AnyRequest | AnyResponse, name: string): boolean {
  return emitter.listenerCount(name) === 0 && name !== 'error'
}

/** Somebody else has replaced `emit` before. */
function scoped(emit: EventEmitter['emit'], response: OpenResponse): EventEmitter['emit'] {
  return function emitScoped(this: unknown, ...event: unknown[]): boolean {
    return isWithin(response) ? Reflect.apply(emit, this, event) : emitWithin(response, emit, this, event)
  }
}

function emitWithin(
  response: OpenResponse,
  emit: EventEmitter['emit'],
  self: unknown,
  event: unknown[],
): boolean {
  return within(response.scope as OpenRequest, () => Reflect.apply(emit, self, event))
}
