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

const watchOf: unique symbol = Symbol('aftertask.watch')
const openOf: unique symbol = Symbol('aftertask.open')

type WatchedResponse = AnyResponse & { [watchOf]?: ResponseWatch }
type WatchedSocket = Socket & { [openOf]?: OpenList }

/** The open responses of a socket; one list serves all of its life, so that a request writes nothing on the socket. */
interface OpenList {
  first: ResponseWatch | null
}

/**
 * A response that can be watched. One object is all of it: what is told of the end, the note on the response by which its
 * events find it, and the link of its socket's list; each would be one more for every request.
 */
export abstract class ResponseWatch {
  readonly req: AnyRequest
  readonly res: AnyResponse
  /** The `emit` of the response that tells of its `finish`, so that no listener has to be added and removed. */
  tellingEmit: AnyResponse['emit'] | null = null
  #isWatching = false
  /** The socket as it was when the watch began: a response lets go of its socket before it is over. */
  #socket: Socket | null = null
  /** The list that it is in, and the next one there. */
  #open: OpenList | null = null
  #next: ResponseWatch | null = null

  constructor(req: AnyRequest, res: WatchedResponse) {
    this.req = req
    this.res = res
    res[watchOf] = this
  }

  /** The latest that was made for a response. */
  static of(res: WatchedResponse): ResponseWatch | undefined {
    return res[watchOf]
  }

  /** Told once, when a response that is watched is over. */
  abstract ended(outcome: Outcome): void

  /** Waits for the end of the response. When it is over already, says how it ended instead, and tells nobody. */
  watch(): Outcome | null {
    const { req, res } = this
    // HTTP/2's `req.socket` passes for a Socket but belongs to every stream of its session; an injected response has none.
    const socket = res instanceof ServerResponse && req.socket instanceof Socket ? req.socket : null
    const over = outcomeSoFar(res, socket)
    if (over !== null) return over
    this.#isWatching = true
    this.#socket = socket
    // Somebody may have put another in its place, which tells nothing.
    if (this.tellingEmit !== res.emit) this.tellingEmit = null
    if (this.tellingEmit === null) res.on('finish', onFinish)
    if (socket === null) res.on('close', onClose)
    else this.#follow(socket)
    return null
  }

  /** The response says that all of it has been handed over. */
  finished(): void {
    if (this.#isWatching) this.#end(wasSent(this.res, this.#socket) ? 'sent' : 'aborted')
  }

  /** What it was written to has closed. */
  closed(): void {
    if (this.#isWatching) this.#end('aborted')
  }

  #follow(socket: WatchedSocket): void {
    let open = socket[openOf]
    if (open === undefined) {
      open = { first: null }
      socket[openOf] = open
      socket.on('close', onSocketClose)
    }
    this.#next = open.first
    this.#open = open
    open.first = this
  }

  #forget(open: OpenList): void {
    let at = open.first
    if (at === this) {
      open.first = this.#next
      return
    }
    // Only a pipelined connection has more than one.
    while (at !== null && at.#next !== this) at = at.#next
    if (at !== null) at.#next = this.#next
  }

  #end(outcome: Outcome): void {
    this.#isWatching = false
    if (this.tellingEmit === null) this.res.removeListener('finish', onFinish)
    if (this.#open === null) this.res.removeListener('close', onClose)
    else this.#forget(this.#open)
    this.ended(outcome)
  }
}

function onFinish(this: WatchedResponse): void {
  this[watchOf]?.finished()
}

function onClose(this: WatchedResponse): void {
  this[watchOf]?.closed()
}

function onSocketClose(this: WatchedSocket): void {
  const open = this[openOf]
  while (open !== undefined && open.first !== null) open.first.closed()
}

function outcomeSoFar(res: AnyResponse, socket: Socket | null): Outcome | null {
  if (res.writableFinished) return wasSent(res, socket) ? 'sent' : 'aborted'
  // Made by hand, without a connection: no event will ever come. One that waits on a pipelined connection has its request's.
  if (res instanceof ServerResponse && res.socket === null && !isConnected(socket)) return 'aborted'
  const isGone = socket === null ? isClosed(res) : socket.destroyed || isClosed(res)
  return isGone ? 'aborted' : null
}

function isConnected(socket: Socket | null): boolean {
  const handle = (socket as (Socket & { readonly _handle?: object | null }) | null)?._handle
  return handle !== undefined && handle !== null
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
