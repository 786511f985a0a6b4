/** The other end of a control socket: asks a running process, and follows its events. */
import { connect, type Socket } from 'node:net'
import { AftertaskError, ControlUnavailableError } from '../words/errors.ts'
import type { ToldEvent } from './event-stream.ts'
import { type ErrorFacts, linesOf, PROTOCOL } from './frames.ts'

// More than any answer has.
const MOST_READ = 2 ** 26

interface Frame {
  readonly id?: number | null
  readonly answer?: unknown
  readonly error?: ErrorFacts
  readonly event?: ToldEvent
  readonly aftertask?: number
  readonly pid?: number
}

/** A connection to a running process. */
export class ControlClient {
  /** The process that answers. */
  readonly pid: number
  /** Resolves once the connection is over. */
  readonly gone: Promise<void>
  readonly #socket: Socket
  readonly #path: string
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>()
  readonly #followed = new Map<number, (event: ToldEvent) => void>()
  #count = 0

  private constructor(path: string, socket: Socket, pid: number, frames: AsyncGenerator<Frame>) {
    this.#path = path
    this.#socket = socket
    this.pid = pid
    this.gone = this.#read(frames)
  }

  /** Connects to a socket. @throws ControlUnavailableError (as a rejection) when nobody answers there, or in other words. */
  static async to(path: string): Promise<ControlClient> {
    const socket = connect(path)
    socket.on('error', () => {})
    const frames = framesOf(socket)
    let first: Frame | undefined
    try {
      first = (await frames.next()).value as Frame | undefined
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new ControlUnavailableError(path, `Nobody answers at ${path} (${why}).`, { cause })
    }
    if (first?.error !== undefined)
      throw new AftertaskError(first.error.code ?? 'ERR_CONTROL', first.error.message)
    if (first?.aftertask === PROTOCOL) return new ControlClient(path, socket, first.pid ?? 0, frames)
    socket.destroy()
    const message = `What answers at ${path} is no aftertask of this release. Use the command of the release that runs there.`
    throw new ControlUnavailableError(path, message)
  }

  /** Asks for an operation. Rejects with the error of the process. */
  ask(op: string, args: object = {}): Promise<unknown> {
    const id = ++this.#count
    const asked = Promise.withResolvers<unknown>()
    this.#asked.set(id, asked)
    if (this.#socket.destroyed) this.#fail()
    else this.#socket.write(`${JSON.stringify({ id, op, args })}\n`)
    return asked.promise
  }

  /** Hears the events that fit a filter, until the connection ends. Resolves once it listens. */
  async follow(filter: object, take: (event: ToldEvent) => void): Promise<void> {
    this.#followed.set(this.#count + 1, take)
    await this.ask('events', filter)
  }

  close(): void {
    this.#socket.destroy()
  }

  async #read(frames: AsyncGenerator<Frame>): Promise<void> {
    try {
      for await (const { id, answer, error, event } of frames) {
        if (id === undefined || id === null) continue
        if (event !== undefined) this.#followed.get(id)?.(event)
        else if (error === undefined) this.#settle(id)?.resolve(answer)
        else this.#settle(id)?.reject(new AftertaskError(error.code ?? error.name, error.message))
      }
    } catch {
      // The connection broke; whoever has asked is told below.
    }
    this.#socket.destroy()
    this.#fail()
  }

  #settle(id: number): PromiseWithResolvers<unknown> | undefined {
    const asked = this.#asked.get(id)
    this.#asked.delete(id)
    return asked
  }

  #fail(): void {
    const error = new ControlUnavailableError(
      this.#path,
      `The process at ${this.#path} has closed the connection.`,
    )
    for (const asked of this.#asked.values()) asked.reject(error)
    this.#asked.clear()
  }
}

async function* framesOf(socket: Socket): AsyncGenerator<Frame> {
  for await (const line of linesOf(socket, MOST_READ)) yield JSON.parse(line) as Frame
}
