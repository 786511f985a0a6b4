/** The control socket of a runtime, when its owner wants one: loaded only then. */
import type { Controlled, EventSource } from '../control/controlled.ts'
import type { ControlSocket } from '../control/server.ts'
import type { Engine } from './engine.ts'
import type { Log } from './log.ts'

type Heard = Pick<Engine, 'announcer' | 'pools'>

/** Opens and closes the control socket of one runtime. */
export class Control {
  /** Resolves once the socket can be used, at once where none is wanted; rejects with why it cannot be opened. */
  readonly opened: Promise<void>
  #socket: ControlSocket | undefined

  constructor(runtime: Controlled, option: boolean | string, engine: Heard, log: Log) {
    this.opened = option === false ? Promise.resolve() : this.#open(runtime, option, sourceOf(engine))
    // `ready()` rejects with it; a server that does not ask for that goes on without, and is told.
    this.opened.catch((error: Error) => log.say(`there is no control socket: ${error.message}`))
  }

  /** Closes it, also one that is yet to be opened. */
  async close(): Promise<void> {
    await this.opened.catch(() => {})
    await this.#socket?.close()
    this.#socket = undefined
  }

  async #open(runtime: Controlled, option: true | string, watch: EventSource): Promise<void> {
    const { openControl } = await import('../control/server.ts')
    this.#socket = await openControl(runtime, watch, option)
  }
}

/** The events of an engine. Threads tell of each start only while somebody wants to hear of it. */
function sourceOf({ announcer: { events }, pools }: Heard): EventSource {
  return (name, watcher) => {
    const stop = events.watch(name, watcher)
    if (name !== 'job:started') return stop
    pools.tellStarts(true)
    return () => {
      stop()
      pools.tellStarts(events.isWanted(name))
    }
  }
}
