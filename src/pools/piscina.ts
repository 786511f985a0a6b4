/**
 * Threads from Piscina. Piscina starts, limits, nices and ends threads; it never sees a job. Each thread runs one
 * Piscina task, which takes a MessagePort and returns: from then on the thread is ours to talk to, and to Piscina it
 * is idle. So none of the faults of its queue, its `close()` and its abort can reach a job.
 */
import type { Worker } from 'node:worker_threads'
import type { ReadPoolOptions } from '../rules/option-schemas.ts'
import type { LaneReady, LaneSetup } from '../rules/protocol.ts'
import { TASK_THREAD } from '../rules/thread-entries.ts'
import { fromWireError } from '../rules/wire-error.ts'
import type { HandlerProblem } from '../words/errors.ts'
import type { ThreadHandle } from './lane.ts'
import { threadCounts } from './sizes.ts'

import type { ThreadEnd, ThreadSource } from './thread-pool.ts'

type Piscina = import('piscina').Piscina

/** Starts threads with Piscina. The package is loaded with the first thread, not with this module. */
export class PiscinaSource implements ThreadSource {
  readonly #options: ReadPoolOptions
  readonly #handed = new WeakSet<Worker>()
  readonly #known = new WeakSet<Worker>()
  /** What fails each start that no thread has taken up yet, oldest first. */
  readonly #waiting = new Set<(error: Error) => void>()
  #piscina: Promise<Piscina> | undefined
  #stopped = false

  constructor(options: ReadPoolOptions) {
    this.#options = options
  }

  start(
    setup: LaneSetup,
    up: (thread: ThreadHandle, problems: readonly HandlerProblem[]) => void,
    ended: (end: ThreadEnd) => void,
  ): void {
    let isOver = false
    const over = (end: ThreadEnd): void => {
      if (!isOver) ended(end)
      isOver = true
    }
    this.#run(setup, over).then(
      ({ worker, ready }) => {
        if (isOver) return
        const problems = ready.problems.map(({ cause, ...problem }) => ({
          ...problem,
          ...(cause && { cause: fromWireError(cause) }),
        }))
        up({ threadId: ready.threadId, terminate: () => void worker.terminate() }, problems)
      },
      (error: unknown) =>
        over({ exitCode: 1, error: error instanceof Error ? error : new Error(String(error)) }),
    )
  }

  async stop(): Promise<void> {
    this.#stopped = true
    const piscina = await this.#piscina
    await piscina?.destroy()
  }

  async #run(
    setup: LaneSetup,
    over: (end: ThreadEnd) => void,
  ): Promise<{ worker: Worker; ready: LaneReady }> {
    this.#piscina ??= this.#create()
    const piscina = await this.#piscina
    if (this.#stopped) throw new Error('The pool has stopped.')
    const ready = await this.#runOnFresh(piscina, setup)
    const worker = piscina.threads.find((thread) => thread.threadId === ready.threadId)
    if (worker === undefined) throw new Error('The thread ended while it started.')
    let error: Error | undefined
    worker.on('error', (cause: Error) => {
      error = cause
    })
    worker.on('exit', (exitCode: number) => over({ exitCode, error }))
    return { worker, ready }
  }

  /** Piscina never tells of a thread that dies before it takes up its task: the task would wait for ever. */
  async #runOnFresh(piscina: Piscina, setup: LaneSetup): Promise<LaneReady> {
    const abort = new AbortController()
    const died = Promise.withResolvers<never>()
    const fail = (error: Error): void => {
      died.reject(error)
      abort.abort()
    }
    this.#waiting.add(fail)
    const task: Promise<LaneReady> = piscina.run(setup, { transferList: [setup.port], signal: abort.signal })
    for (const worker of piscina.threads) this.#watch(worker)
    try {
      return await Promise.race([task, died.promise])
    } finally {
      this.#waiting.delete(fail)
    }
  }

  #watch(worker: Worker): void {
    if (this.#known.has(worker)) return
    this.#known.add(worker)
    let cause: Error | undefined
    worker.on('error', (error: Error) => {
      cause = error
    })
    worker.on('exit', (exitCode: number) => {
      if (this.#handed.has(worker)) return
      const [fail] = this.#waiting
      fail?.(cause ?? new Error(`It exited with code ${exitCode}.`))
    })
  }

  async #create(): Promise<Piscina> {
    const { Piscina } = await import('piscina')
    const { niceness, resourceLimits, env, execArgv } = this.#options
    const piscina: Piscina = new Piscina({
      filename: TASK_THREAD.href,
      minThreads: 0,
      // Room for replacements that start while the ones before them are still ending; how many there are is decided above.
      maxThreads: threadCounts(this.#options).max * 2 + 8,
      idleTimeout: Number.POSITIVE_INFINITY,
      // Otherwise an idle thread sleeps in Atomics.wait and hears nothing on our port.
      atomics: 'disabled',
      recordTiming: false,
      niceIncrement: niceness,
      // Each thread takes one task ever: the first that has not been given to another.
      loadBalancer: (_task, workers): (typeof workers)[number] | null => {
        const fresh = workers.find((candidate) => {
          const worker = piscina.threads.find((thread) => thread.threadId === candidate.id)
          return (
            worker !== undefined &&
            !candidate.destroyed &&
            !candidate.terminating &&
            !this.#handed.has(worker)
          )
        })
        const worker = fresh && piscina.threads.find((thread) => thread.threadId === fresh.id)
        if (worker) this.#handed.add(worker)
        return fresh ?? null
      },
      ...(resourceLimits && { resourceLimits: resourceLimits as Record<string, number> }),
      ...(env && { env }),
      ...(execArgv && { execArgv }),
    })
    // What happens to a thread reaches us through the thread itself; unheard, this event would bring the process down.
    piscina.on('error', () => {})
    return piscina
  }
}
