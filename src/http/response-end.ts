/**
 * Notices the end of a response, exactly once, for as little as it can cost.
 *
 * Three things end a response, and none is enough alone: `finish` is lost when the client leaves, a response that was
 * ended behind another on a pipelined connection may get no event of its own when the socket dies, and HTTP/2 emits
 * `finish` for a stream that was reset. A listener on the socket would cover most of it, but adding and removing one for
 * each request of a keep-alive connection costs more than all the rest, so a socket gets a single listener, which
 * lives as long as the socket and finds the socket's open responses in a list.
 */
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { Socket } from 'node:net'

/** A request of `node:http` or of HTTP/2's compatibility API. */
export type AnyRequest = IncomingMessage | Http2ServerRequest
/** A response of `node:http` or of HTTP/2's compatibility API. */
export type AnyResponse = ServerResponse | Http2ServerResponse

/** `sent`: handed to the system whole. `aborted`: the connection, or the stream, closed first. */
export type Outcome = 'sent' | 'aborted'

/** Who wants to know. Called once. */
export interface EndListener {
  responseEnded(outcome: Outcome): void
}

const watchOf: unique symbol = Symbol('aftertask.watch')
const openOf: unique symbol = Symbol('aftertask.open')

type WatchedResponse = AnyResponse & { [watchOf]?: Watch | undefined }
type WatchedSocket = Socket & { [openOf]?: Watch | null }

/** One response being watched, and a link of its socket's list. */
class Watch {
  readonly res: WatchedResponse
  readonly listener: EndListener
  /** The socket as it was when the watch began: a response lets go of its socket before it is over. */
  readonly socket: WatchedSocket | null
  next: Watch | null = null

  constructor(res: WatchedResponse, listener: EndListener, socket: WatchedSocket | null) {
    this.res = res
    this.listener = listener
    this.socket = socket
  }
}

/** Tells the listener when the response is over. When it already is, says how it ended instead, and tells nobody. */
export function watchEnd(req: AnyRequest, res: AnyResponse, listener: EndListener): Outcome | null {
  // HTTP/2's `req.socket` passes for a Socket but belongs to every stream of its session; an injected response has none.
  const socket = res instanceof ServerResponse && req.socket instanceof Socket ? req.socket : null
  const over = outcomeSoFar(res, socket)
  if (over !== null) return over
  const watch = new Watch(res, listener, socket)
  watch.res[watchOf] = watch
  res.on('finish', onFinish)
  if (socket === null) res.on('close', onClose)
  else follow(socket, watch)
  return null
}

function outcomeSoFar(res: AnyResponse, socket: Socket | null): Outcome | null {
  if (res.writableFinished) return wasSent(res, socket) ? 'sent' : 'aborted'
  const isGone = socket === null ? isClosed(res) : socket.destroyed || isClosed(res)
  return isGone ? 'aborted' : null
}

function isClosed(res: AnyResponse): boolean {
  if (res instanceof ServerResponse) return res.destroyed || res.closed
  // The compatibility API lets go of the stream once it has closed.
  return res.stream === undefined || res.stream.destroyed || res.stream.closed
}

/** To be asked at `finish`: later the flags change their meaning. */
function wasSent(res: AnyResponse, socket: Socket | null): boolean {
  if (!res.writableEnded) return false
  if (socket !== null) return socket.errored === null
  const stream = 'stream' in res ? res.stream : undefined
  return stream === undefined || !(stream.aborted || stream.errored || (stream.rstCode ?? 0) !== 0)
}

function follow(socket: WatchedSocket, watch: Watch): void {
  const first = socket[openOf]
  if (first === undefined) socket.on('close', onSocketClose)
  watch.next = first ?? null
  socket[openOf] = watch
}

function forget(socket: WatchedSocket, watch: Watch): void {
  let at = socket[openOf] ?? null
  if (at === watch) {
    socket[openOf] = watch.next
    return
  }
  // Only a pipelined connection has more than one.
  while (at !== null && at.next !== watch) at = at.next
  if (at !== null) at.next = watch.next
}

function onFinish(this: WatchedResponse): void {
  const watch = this[watchOf]
  if (watch !== undefined) end(watch, wasSent(this, watch.socket) ? 'sent' : 'aborted')
}

function onClose(this: WatchedResponse): void {
  const watch = this[watchOf]
  if (watch !== undefined) end(watch, 'aborted')
}

function onSocketClose(this: WatchedSocket): void {
  for (let watch = this[openOf] ?? null; watch !== null; watch = this[openOf] ?? null) end(watch, 'aborted')
}

function end(watch: Watch, outcome: Outcome): void {
  const { res, socket } = watch
  res[watchOf] = undefined
  res.removeListener('finish', onFinish)
  if (socket === null) res.removeListener('close', onClose)
  else forget(socket, watch)
  watch.listener.responseEnded(outcome)
}
