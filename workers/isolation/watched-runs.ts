/** Handlers that are looked at: what is otherwise after a run than before it is told, as a log line of the attempt. */
import { readdirSync } from 'node:fs'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { MessagePort } from 'node:worker_threads'
import { encodeAnyhow } from '../../src/rules/codec.ts'
import {
  CLOSE_LOOKS,
  ISOLATION_LINE,
  MEMORY_STRIDE,
  type RunSeen,
} from '../../src/rules/isolation-protocol.ts'
import { FROM_THREAD } from '../../src/rules/protocol.ts'
import { Attempt } from '../attempt.ts'
import type { AnyHandler, LoadedHandlers } from '../loaded-handlers.ts'
import * as pristine from '../pristine.ts'
import { runningAttempt } from '../whose.ts'
import { changedIn, type Language, languageNow, touchGlobals } from './language.ts'
import { OpenThings } from './left-open.ts'

/** How often, and for how many milliseconds, what is about to close may still be open. */
const PATIENCE = 10
const A_WHILE = 10

/** The same handlers, looked at. */
export function watched(loaded: LoadedHandlers, port: MessagePort): LoadedHandlers {
  const runs = new Runs(port)
  return {
    problems: loaded.problems,
    names: loaded.names,
    get(task) {
      const handler = loaded.get(task)
      return handler instanceof Promise ? handler.then((later) => runs.around(later)) : runs.around(handler)
    },
    isRemembered: (error) => loaded.isRemembered(error),
    hasRuined: (error) => loaded.hasRuined(error),
  }
}

class Runs {
  readonly #port: MessagePort
  readonly #open = new OpenThings()
  readonly #collect: () => void
  readonly #wrapped = new WeakMap<AnyHandler, AnyHandler>()
  #count = 0
  #language: Language | undefined
  readonly #environment = { ...process.env }
  #listeners: ReadonlyMap<string, number> = new Map()
  /** The events of which every look so far has found more listeners. */
  #grown: readonly string[] | undefined

  constructor(port: MessagePort) {
    this.#port = port
    setFlagsFromString('--expose-gc')
    this.#collect = runInNewContext('gc') as () => void
  }

  around(handler: AnyHandler): AnyHandler {
    const known = this.#wrapped.get(handler)
    if (known !== undefined) return known
    const looked: AnyHandler = async (payload, context) => {
      const run = ++this.#count
      if (run === 1) this.#takeFirst()
      if (run <= CLOSE_LOOKS) this.#open.begin(run)
      try {
        return await handler(payload, context)
      } finally {
        if (run <= CLOSE_LOOKS) this.#tell(await this.#lookClosely(run))
        else if (run % MEMORY_STRIDE === 0) this.#tell(await this.#lookAtMemory(run))
      }
    }
    this.#wrapped.set(handler, looked)
    return looked
  }

  #takeFirst(): void {
    touchGlobals()
    this.#language = languageNow()
    this.#listeners = listenersNow()
  }

  async #lookClosely(run: number): Promise<RunSeen> {
    this.#open.end()
    for (let turns = 0; turns < 3; turns++) await pristine.turn()
    for (let waits = 0; waits < PATIENCE && !this.#open.isClosed(run); waits++) {
      if (waits === 0) this.#collect()
      const { promise, resolve } = pristine.withResolvers<void>()
      pristine.setTimeout(resolve, A_WHILE)
      await promise
    }
    const listeners = listenersNow()
    const grown = [...listeners].filter(([name, count]) => count > (this.#listeners.get(name) ?? 0))
    this.#listeners = listeners
    const before = this.#grown
    this.#grown = grown.map(([name]) => name).filter((name) => before?.includes(name) ?? true)
    return {
      run,
      changes: changedIn(this.#language ?? new Map(), languageNow()),
      environment: changedEnvironment(this.#environment),
      ...(run === CLOSE_LOOKS && { listeners: this.#grown, open: this.#open.leftByEach(CLOSE_LOOKS) }),
    }
  }

  async #lookAtMemory(run: number): Promise<RunSeen> {
    for (let turns = 0; turns < 2; turns++) {
      await pristine.turn()
      this.#collect()
    }
    const { used_heap_size: heap, external_memory: external } = getHeapStatistics()
    return { run, memory: heap + external, files: openFiles() }
  }

  #tell(seen: RunSeen): void {
    const attempt = runningAttempt()
    if (!(attempt instanceof Attempt) || attempt.isOver) return
    // Not through the context: a handler may have used up its lines. The outcome is to come after it.
    attempt.hasPosted = true
    pristine.post(this.#port, [FROM_THREAD.log, attempt.slot, 'debug', ISOLATION_LINE, encodeAnyhow(seen)])
  }
}

function changedEnvironment(before: NodeJS.ProcessEnv): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(process.env)])
  return [...names]
    .filter((name) => before[name] !== process.env[name])
    .map(
      (name) =>
        `process.env.${name} was ${before[name] === undefined ? 'added' : process.env[name] === undefined ? 'taken away' : 'changed'}`,
    )
}

function listenersNow(): ReadonlyMap<string, number> {
  const emitters = { process, 'process.stdout': process.stdout, 'process.stderr': process.stderr }
  return new Map(
    Object.entries(emitters).flatMap(([name, emitter]) =>
      emitter
        .eventNames()
        .map((event) => [`"${String(event)}" of ${name}`, emitter.listenerCount(event)] as const),
    ),
  )
}

/** Of the whole process, where the system tells. */
function openFiles(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return undefined
  }
}
