/** The measuring side of the load: starts its process and asks it for one slice at a time. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** One slice of load to make. */
export interface Load {
  readonly port: number
  readonly path: string
  readonly milliseconds: number
  readonly connections: number
}

/** What became of it. Times in milliseconds. */
export interface Loaded {
  /** Requests in all, the last ones of the slice included. */
  readonly requests: number
  /** Requests a second within the slice. */
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  /** When the last response had arrived: wall-clock milliseconds with a fraction. */
  readonly endedAt: number
}

/** Makes load from a process of its own. */
export class LoadMaker implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #gone: Promise<never>

  constructor() {
    this.#child = fork(fileURLToPath(new URL('./load-process.ts', import.meta.url)))
    this.#gone = once(this.#child, 'exit').then(() => {
      throw new Error('The load process has ended.')
    })
    this.#gone.catch(() => undefined)
  }

  /** Loads a server for one slice over 32 connections. */
  async run(port: number, milliseconds: number, path = '/'): Promise<Loaded> {
    this.#child.send({ port, path, milliseconds, connections: 32 } satisfies Load)
    const { promise, resolve } = Promise.withResolvers<Loaded>()
    this.#child.once('message', (loaded: Loaded) => resolve(loaded))
    return await Promise.race([promise, this.#gone])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.connected) this.#child.disconnect()
    await this.#gone.catch(() => undefined)
  }
}
