/** One client of the control socket: its requests one after the other, and the events that it has asked for. */
import type { Socket } from 'node:net'
import { userInfo } from 'node:os'
import { OptionsInvalidError } from '../words/errors.ts'
import { type Caller, perform } from './api.ts'
import type { Controlled, EventSource } from './controlled.ts'
import { tellEvents } from './event-stream.ts'
import { answerFrame, errorFrame, FrameTooLarge, linesOf, MOST_ASKED, PROTOCOL, toJson } from './frames.ts'

// What waits for a slow reader. Events beyond it are counted, not kept.
const MOST_WAITING = 2 ** 18
/** Streams of events that one client may have. */
const MOST_STREAMS = 16

/**
 * Serves a client until it leaves. Whatever it sends, and however slowly it reads: it costs no more than one request, one
 * answer and `MOST_WAITING` bytes of events, and never ends the process.
 */
export async function serveClient(socket: Socket, runtime: Controlled, watch: EventSource): Promise<void> {
  const client = new Client(socket, runtime, watch)
  // It may leave while something is being written.
  socket.on('error', () => {})
  // Also while it waits for an answer, when nothing is read from it.
  socket.once('close', () => client.close())
  try {
    socket.write(`{"aftertask":${PROTOCOL},"pid":${process.pid}}\n`)
    for await (const line of linesOf(socket, MOST_ASKED)) if (line.trim() !== '') await client.take(line)
  } catch (error) {
    if (error instanceof FrameTooLarge) socket.end(errorFrame(null, tooLarge(error)))
  } finally {
    client.close()
    socket.destroySoon()
  }
}

function tooLarge({ message }: FrameTooLarge): Error {
  return new OptionsInvalidError(message)
}

class Client {
  readonly #socket: Socket
  readonly #runtime: Controlled
  readonly #watch: EventSource
  readonly #left = new AbortController()
  /** Whoever may connect is the user of this process. */
  readonly #caller: Caller = { by: userInfo().username, signal: this.#left.signal }
  readonly #stops: (() => void)[] = []
  #isCorked = false

  constructor(socket: Socket, runtime: Controlled, watch: EventSource) {
    this.#socket = socket
    this.#runtime = runtime
    this.#watch = watch
  }

  async take(line: string): Promise<void> {
    let id: unknown = null
    try {
      const request = readRequest(line)
      id = request.id
      if (request.op === 'events') this.#follow(id, request.args)
      else
        await this.#write(
          answerFrame(id, await perform(this.#runtime, request.op, request.args, this.#caller)),
        )
    } catch (error) {
      await this.#write(errorFrame(id, error))
    }
  }

  close(): void {
    this.#left.abort()
    for (const stop of this.#stops.splice(0)) stop()
  }

  #follow(id: unknown, filter: unknown): void {
    if (this.#stops.length >= MOST_STREAMS)
      throw new OptionsInvalidError(`events: a client has at most ${MOST_STREAMS} streams of events.`)
    const start = `{"id":${toJson(id)},"event":`
    const stop = tellEvents(this.#watch, filter ?? {}, {
      hasRoom: () => this.#socket.writableLength < MOST_WAITING,
      take: (event) => this.#gather(`${start}${toJson(event)}}\n`),
    })
    this.#stops.push(stop)
    this.#socket.write(answerFrame(id, true))
  }

  /** The events of one turn travel together. */
  #gather(frame: string): void {
    const socket = this.#socket
    if (!this.#isCorked) {
      this.#isCorked = true
      socket.cork()
      setImmediate(() => {
        this.#isCorked = false
        socket.uncork()
      }).unref()
    }
    socket.write(frame)
  }

  /** Resolves once the client can take more, or has left. */
  #write(frame: string): Promise<void> | void {
    const socket = this.#socket
    if (socket.destroyed || socket.write(frame)) return
    return new Promise((resolve) => {
      const done = (): void => {
        socket.off('drain', done)
        socket.off('close', done)
        resolve()
      }
      socket.on('drain', done)
      socket.on('close', done)
    })
  }
}

interface Request {
  readonly id: string | number | null
  readonly op: unknown
  readonly args: unknown
}

function readRequest(line: string): Request {
  let read: unknown
  try {
    read = JSON.parse(line)
  } catch {
    throw new OptionsInvalidError('A request is one line of JSON: { id, op, args }.')
  }
  if (typeof read !== 'object' || read === null)
    throw new OptionsInvalidError('A request is { id, op, args }.')
  const [id, op, args] = ['id', 'op', 'args'].map((key) =>
    Object.hasOwn(read, key) ? Reflect.get(read, key) : undefined,
  )
  const isId = typeof id === 'number' || (typeof id === 'string' && id.length <= 100)
  return { id: isId ? id : null, op, args }
}
