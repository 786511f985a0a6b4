/** What one writes without aftertask: a Piscina with a thread or more, and `piscina.run` in a `finish` listener. */
import type { ServerResponse } from 'node:http'
import { Piscina } from 'piscina'

/** Piscina as it comes, with a fixed number of threads. */
export function piscinaFor(handler: string, threads = 1): Piscina {
  const filename = new URL(`../workers/${handler}.ts`, import.meta.url).href
  return new Piscina({ filename, minThreads: threads, maxThreads: threads })
}

/** Counts what it has run and not got back yet. */
export class NaiveRunner {
  pending = 0
  readonly piscina: Piscina

  constructor(piscina: Piscina) {
    this.piscina = piscina
  }

  /** Runs one task, and lets nobody know of its failure. */
  readonly run = (payload: unknown): void => {
    this.pending++
    const done = (): void => {
      this.pending--
    }
    this.piscina.run(payload).then(done, done)
  }

  /** Runs a task once the response has been sent. */
  readonly after = (res: ServerResponse): void => {
    res.once('finish', () => this.run(null))
  }
}
