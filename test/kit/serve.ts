/** Servers for one test: on a free port of 127.0.0.1, gone when the test is over. */
import { once } from 'node:events'
import type { Server } from 'node:net'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** Starts a server and returns its port. */
export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  closeAfterTest(server)
  await once(server, 'listening')
  return portOf(server)
}

/** Starts a Polka app, of either version, and returns its port. */
export async function listenPolka(app: {
  listen(port: number, host: string): unknown
  readonly server?: Server | undefined
}): Promise<number> {
  app.listen(0, '127.0.0.1')
  const { server } = app
  if (server === undefined) throw new Error('Polka has no server after listen')
  closeAfterTest(server)
  await once(server, 'listening')
  return portOf(server)
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

function closeAfterTest(server: Server): void {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => sockets.add(socket))
  onTestFinished(async () => {
    const closed = server.listening ? once(server, 'close') : undefined
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  })
}

/** Fetches a path of a server on this machine. */
export function get(port: number, path = '/', init?: RequestInit): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}${path}`, init)
}

/** A client that speaks bytes. */
export interface RawClient {
  readonly socket: Socket
  /** Everything received so far. */
  text(): string
  /** Resolves when what was received contains this. */
  received(part: string): Promise<void>
  send(text: string): void
  /** Goes away without a word. */
  leave(): void
}

/** Connects, and destroys the connection when the test is over. */
export async function rawClient(port: number): Promise<RawClient> {
  const socket = connect(port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => {})
  await once(socket, 'connect')
  let text = ''
  const waiting = new Set<() => void>()
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk
    for (const look of waiting) look()
  })
  return {
    socket,
    text: () => text,
    received: (part) => {
      const { promise, resolve } = Promise.withResolvers<void>()
      const look = (): void => {
        if (!text.includes(part)) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
      look()
      return promise
    },
    send: (data) => void socket.write(data),
    leave: () => void socket.destroy(),
  }
}

/** A GET request as bytes. */
export function getBytes(path: string, method = 'GET'): string {
  return `${method} ${path} HTTP/1.1\r\nHost: test\r\n\r\n`
}
