/**
 * Closes a server without cutting off what it is saying: no new connections, idle ones closed, each of the others as
 * soon as its response is out.
 *
 * `server.close()` of node:http is not used for it. It closes "idle" connections, and takes for idle also one whose
 * handler has called `end()` but whose body is still on its way to a slow client (seen on Node 24: 30 MB were
 * cut off after 4). So the listener is closed as any net server's is, and a connection only once it has nothing left to send.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Session } from 'node:http2'
import { Server, type Socket } from 'node:net'

/** A server that can be closed gently, watched from the moment that this is made. */
export interface ClosingServer {
  /** Accepts no more connections and closes idle ones, now and as responses end. Resolves when all are closed. */
  close(): Promise<void>
  /** How many responses are under way, as far as that can be seen: those of HTTP/1. */
  busy(): number
  /** Closes connections on which no whole request has arrived: a slow client's half a head, an unfinished handshake. */
  cutUnasked(): void
  /** Cuts off what is still open; returns how many connections that were. */
  cut(): number
  /** Stops watching a server that is to go on. */
  forget(): void
}

/** What node:http and node:tls note on their sockets. */
type Speaking = Socket & {
  /** The response that is under way. */
  readonly _httpMessage?: { readonly writableEnded: boolean } | null
  /** What reads requests; gone after an upgrade. */
  readonly parser?: unknown
  /** The connection below TLS. */
  readonly _parent?: Socket
}

/** Watches the connections of a server of any protocol. Call it before the first connection, or it will not know that one. */
export function closingServer(server: Server): ClosingServer {
  const connections = new Set<Socket>()
  /** What the responses are written to: the connection itself, or the TLS on top of it. */
  const speaking = new Set<Speaking>()
  const sessions = new Set<ServerHttp2Session>()
  const onConnection = (socket: Socket): void => {
    connections.add(socket)
    socket.on('close', () => connections.delete(socket))
    if (!isTls(server)) onSpeaking(socket)
  }
  const onSpeaking = (socket: Socket): void => {
    speaking.add(socket)
    socket.on('close', () => speaking.delete(socket))
  }
  const onSession = (session: ServerHttp2Session): void => {
    sessions.add(session)
    session.on('close', () => sessions.delete(session))
  }
  server.on('connection', onConnection)
  server.on('secureConnection', onSpeaking)
  server.on('session', onSession)

  const closeIdle = (): void => {
    // Node's own notion of idle is right about connections on which a request is arriving, and wrong about those that
    // are still sending; nothing is lost by waiting for the latter.
    const isSending = [...speaking].some((socket) => socket._httpMessage?.writableEnded)
    if (!isSending && isHttp(server)) server.closeIdleConnections()
  }
  const onResponse = (message: unknown): void => {
    if ((message as { server: Server }).server === server) setImmediate(closeIdle)
  }
  // What still comes on open connections is served, and told that it was the last.
  const onRequest = (_req: IncomingMessage, res: ServerResponse): void => {
    if (!('stream' in res || res.headersSent)) res.shouldKeepAlive = false
  }

  const forget = (): void => {
    server.off('connection', onConnection)
    server.off('secureConnection', onSpeaking)
    server.off('session', onSession)
    server.off('request', onRequest)
    unsubscribe('http.server.response.finish', onResponse)
  }
  return {
    forget,
    close() {
      subscribe('http.server.response.finish', onResponse)
      server.prependListener('request', onRequest)
      const closed = Promise.withResolvers<void>()
      Server.prototype.close.call(server, () => {
        forget()
        closed.resolve()
      })
      for (const session of sessions) session.close()
      closeIdle()
      return closed.promise
    },
    busy: () => [...speaking].filter(isAnswering).length,
    cutUnasked() {
      if (isTls(server)) {
        const secured = new Set([...speaking].map((socket) => socket._parent))
        for (const socket of connections) if (!secured.has(socket)) socket.destroy()
      }
      // HTTP/2 sessions are told to close and do so. What was upgraded has no parser any more.
      for (const socket of speaking) if (socket.parser && !isAnswering(socket)) socket.destroy()
    },
    cut() {
      const open = connections.size
      for (const session of sessions) session.destroy()
      for (const socket of connections) socket.destroy()
      if (isHttp(server)) server.closeAllConnections()
      return open
    },
  }
}

// Not `instanceof`: node:tls takes milliseconds to load, which a server without it should not pay.
function isTls(server: Server): boolean {
  return 'setSecureContext' in server
}

function isAnswering(socket: Speaking): boolean {
  return socket._httpMessage !== undefined && socket._httpMessage !== null
}

function isHttp(server: Server): server is HttpServer {
  return 'closeIdleConnections' in server
}
