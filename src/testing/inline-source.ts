/**
 * Threads that are none: what runs in a thread runs in this one, behind the same messages and the same table. So payloads
 * and results are encoded, copied and refused as they are between threads, and the same code tells the outcomes.
 */

import { type ImportHost, loadHandlers } from '../../workers/handlers.ts'
import { JobRunner, type RunnerSetup } from '../../workers/job-runner.ts'
import type { AnyHandler, LoadedHandlers } from '../../workers/loaded-handlers.ts'
import type { ThreadHandle } from '../pools/lane.ts'
import type { ThreadEnd, ThreadSource } from '../pools/thread-pool.ts'
import type { LaneSetup } from '../rules/protocol.ts'
import { fromWireError } from '../rules/wire-error.ts'
import type { HandlerProblem } from '../words/errors.ts'

/** Stands for a thread's end: nothing else can be told of it. */
const ENDED: ThreadEnd = { exitCode: 1, error: undefined }

/** The thread of a test is not ended: a module that ruins it is told as what it is. */
const importHost: ImportHost = {
  importing() {},
  ruined(_task, why) {
    throw new Error(why)
  },
}

/** Runs handlers in the thread of the test. */
export class InlineSource implements ThreadSource {
  readonly #mocks: ReadonlyMap<string, AnyHandler>
  readonly #open = new Set<() => void>()
  readonly #loading = new Set<Promise<void>>()

  /** `mocks`: handlers that stand in for those of tasks, by the tasks' names. */
  constructor(mocks: ReadonlyMap<string, AnyHandler>) {
    this.#mocks = mocks
  }

  start(
    setup: Omit<LaneSetup, 'env'>,
    up: (thread: ThreadHandle, problems: readonly HandlerProblem[]) => void,
    ended: (end: ThreadEnd) => void,
  ): (error: Error) => void {
    const { port } = setup
    let isOver = false
    const end = (error?: Error): void => {
      if (isOver) return
      isOver = true
      this.#open.delete(end)
      port.close()
      ended(error === undefined ? ENDED : { exitCode: 1, error })
    }
    this.#open.add(end)
    const loaded = Promise.withResolvers<void>()
    this.#loading.add(loaded.promise)
    // A pool takes an answer for one that comes later.
    setImmediate(async () => {
      try {
        if (isOver) return
        const handlers = await this.#load(setup)
        if (isOver) return
        const tracer = setup.tracer === undefined ? undefined : ((await import(setup.tracer)) as RunnerSetup)
        const runner = new JobRunner({ ...setup, runInTrace: tracer?.runInTrace }, handlers, [])
        port.on('message', (message: number | unknown[]) => runner.receive(message))
        port.unref()
        const handle: ThreadHandle = { threadId: 0, terminate: (why?: Error) => setImmediate(end, why) }
        up(handle, handlers.problems.map(toProblem))
      } catch (error) {
        end(error instanceof Error ? error : new Error(String(error)))
      } finally {
        this.#loading.delete(loaded.promise)
        loaded.resolve()
      }
    })
    return end
  }

  async stop(): Promise<void> {
    for (const end of this.#open) end()
    // A test is over when nothing of it goes on, the import of a handler included: some runners fail one that comes later.
    await Promise.all(this.#loading)
  }

  async #load(setup: Omit<LaneSetup, 'env'>): Promise<LoadedHandlers> {
    const mocks = this.#mocks
    const handlers = setup.handlers.map((location) =>
      location === null || mocks.has(location.task) ? null : location,
    )
    const real = await loadHandlers({ ...setup, handlers }, importHost)
    if (mocks.size === 0) return real
    return {
      problems: real.problems,
      names: setup.handlers.map((location) => location?.task ?? ''),
      get: (task) => mocks.get(setup.handlers[task]?.task ?? '') ?? real.get(task),
      isRemembered: (error) => real.isRemembered(error),
      hasRuined: (error) => real.hasRuined(error),
    }
  }
}

function toProblem({ cause, ...problem }: LoadedHandlers['problems'][number]): HandlerProblem {
  return { ...problem, ...(cause && { cause: fromWireError(cause) }) }
}
