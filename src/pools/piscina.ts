/**
 * Threads from Piscina. Piscina starts, limits, nices and ends threads; it never sees a job. Each thread runs one
 * Piscina task, which takes a MessagePort and returns: from then on the thread is ours to talk to, and to Piscina it
 * is idle. So none of the faults of its queue, its `close()` and its abort can reach a job.
 *
 * Each thread has a Piscina of its own. What has gone wrong there (a thread that could not be made leaves its task in
 * the queue, and it would be rejected later, to nobody) is let go of with it.
 */
import type { Worker } from 'node:worker_threads'
import type { LaneReady, LaneSetup } from '../rules/protocol.ts'
import type { ReadPoolOptions } from '../rules/runtime-schemas.ts'
import { mustBeThere, TASK_THREAD } from '../rules/thread-entries.ts'
import { fromWireError } from '../rules/wire-error.ts'
import { BundledError, type HandlerProblem } from '../words/errors.ts'
import { heapLimits } from './heap-watch.ts'
import type { ThreadHandle } from './lane.ts'
import { type Surroundings, surroundingsOf } from './surroundings.ts'
import type { ThreadEnd, ThreadSource } from './thread-pool.ts'

/** Starts threads with Piscina. The package is loaded with the first thread, not with this module. */
export class PiscinaSource implements ThreadSource {
  readonly #options: ReadPoolOptions
  readonly #entry: URL
  readonly #surroundings: Surroundings
  readonly #threads = new Set<Worker>()
  /** Resolves when no thread is left, once somebody waits for that. */
  #gone: PromiseWithResolvers<void> | undefined

  /**
   * `entry`: what runs in each thread.
   *
   * @throws BundledError when the code of the threads is not where it should be.
   */
  constructor(options: ReadPoolOptions, entry = TASK_THREAD) {
    mustBeThere(entry)
    this.#entry = entry
    this.#options = options
    this.#surroundings = surroundingsOf(options)
  }

  start(
    setup: Omit<LaneSetup, 'env'>,
    up: (thread: ThreadHandle, problems: readonly HandlerProblem[]) => void,
    ended: (end: ThreadEnd) => void,
  ): (error: Error) => void {
    let isOver = false
    const over = (end: ThreadEnd): void => {
      if (!isOver) ended(end)
      isOver = true
    }
    const givenUp = Promise.withResolvers<never>()
    givenUp.promise.catch(() => {})
    this.#run({ ...setup, env: this.#surroundings.handlerEnv }, over, givenUp.promise).then(
      ([thread, ready]) => {
        if (isOver) return
        const problems = ready.problems.map(({ cause, ...problem }) => ({
          ...problem,
          ...(cause && { cause: fromWireError(cause) }),
        }))
        up(thread, problems)
      },
      (cause: unknown) => {
        const error = cause instanceof Error ? cause : new Error(String(cause))
        over({ exitCode: 1, error, isFinal: final.has(error) })
      },
    )
    return givenUp.reject
  }

  async stop(): Promise<void> {
    this.#gone ??= Promise.withResolvers<void>()
    for (const worker of this.#threads) void worker.terminate()
    if (this.#threads.size === 0) this.#gone.resolve()
    await this.#gone.promise
  }

  async #run(
    setup: LaneSetup,
    over: (end: ThreadEnd) => void,
    givenUp: Promise<never>,
  ): Promise<[ThreadHandle, LaneReady]> {
    const { Piscina } = await loadPiscina()
    if (this.#gone !== undefined) throw new Error('The pool has stopped.')
    const { niceness, resourceLimits } = this.#options
    const { env, execArgv } = this.#surroundings
    const piscina = new Piscina({
      filename: this.#entry.href,
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      // Otherwise an idle thread sleeps in Atomics.wait and hears nothing on our port.
      atomics: 'disabled',
      recordTiming: false,
      niceIncrement: niceness,
      ...(resourceLimits && { resourceLimits: heapLimits(resourceLimits) as Record<string, number> }),
      ...(env && { env }),
      ...(execArgv && { execArgv }),
    })
    // What happens to a thread reaches us through the thread itself; unheard, this event would bring the process down.
    piscina.on('error', () => {})
    const task: Promise<LaneReady> = made(() => piscina.run(setup, { transferList: [setup.port] }))
    // Whoever wins the race below, what comes after that is heard.
    task.catch(() => {})
    const [worker] = piscina.threads
    if (worker === undefined) throw new Error('The thread ended while it started.')
    const gone = this.#watch(worker, over)
    try {
      const ready = await Promise.race([task, gone.promise, givenUp])
      gone.handle.isUp = true
      return [Object.assign(gone.handle, { threadId: ready.threadId }), ready]
    } catch (error) {
      void worker.terminate()
      throw error
    }
  }

  #watch(worker: Worker, over: (end: ThreadEnd) => void) {
    const { promise, reject } = Promise.withResolvers<never>()
    promise.catch(() => {})
    let error: Error | undefined
    this.#threads.add(worker)
    worker.on('error', (cause: Error) => {
      error ??= explained(cause)
    })
    worker.on('exit', (exitCode: number) => {
      this.#threads.delete(worker)
      if (this.#threads.size === 0) this.#gone?.resolve()
      // One that never came up has nothing else to say.
      if (!handle.isUp) error ??= new Error(`It exited with code ${exitCode}.`)
      reject(error)
      over({ exitCode, error, isFinal: error !== undefined && final.has(error) })
    })
    const handle = {
      isUp: false,
      terminate(why?: Error) {
        error ??= why
        void worker.terminate()
      },
      loopTimes: () => worker.performance.eventLoopUtilization(),
      ...(typeof worker.getHeapStatistics === 'function' && { heap: () => worker.getHeapStatistics() }),
    }
    return { promise, handle }
  }
}

/** Faults that no further try can mend. */
const final = new WeakSet<Error>()

function made<T>(make: () => T): T {
  try {
    return make()
  } catch (error) {
    // Processes and memory may be there again in a moment; an option that is refused is refused each time.
    const isPassing = (error as NodeJS.ErrnoException).code === 'ERR_WORKER_INIT_FAILED'
    if (error instanceof Error && !isPassing) final.add(error)
    throw error
  }
}

async function loadPiscina() {
  try {
    return await import('piscina')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    // Whatever else is wrong, such as that no file can be opened at present, may be over in a moment.
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw cause
    throw bundled('piscina cannot be loaded', cause)
  }
}

/** What a thread died of, before it was up, in words that say what to do where that is known. */
function explained(error: Error): Error {
  const { code } = error as NodeJS.ErrnoException
  const isLost = code === 'MODULE_NOT_FOUND' || code === 'ERR_MODULE_NOT_FOUND'
  return isLost && /[/\\]worker\.js'/.test(error.message)
    ? bundled('worker.js of piscina is missing', error)
    : error
}

function bundled(what: string, cause: unknown): BundledError {
  const error = new BundledError(what, { cause })
  final.add(error)
  return error
}
