/** What runs leave open: timers, servers, sockets, watchers, children. Node tells of each as it is made and as it is gone. */
import { createHook } from 'node:async_hooks'
import { fileURLToPath } from 'node:url'
import type { LeftOpen } from '../../src/rules/isolation-protocol.ts'

const TYPES = new Set([
  ...['Timeout', 'TCPWRAP', 'TCPSERVERWRAP', 'PIPEWRAP', 'PIPESERVERWRAP', 'UDPWRAP', 'FSEVENTWRAP'],
  ...['STATWATCHER', 'PROCESSWRAP', 'WORKER', 'MESSAGEPORT', 'FILEHANDLE', 'SIGNALWRAP'],
])

interface Opened extends LeftOpen {
  readonly run: number
}

/** Counts what is opened during runs and not closed. */
export class OpenThings {
  #run = 0
  readonly #open = new Map<number, Opened>()
  readonly #hook = createHook({
    init: (id, type) => {
      if (this.#run === 0 || !TYPES.has(type)) return
      const where = placeIn(new Error('where').stack ?? '', type)
      if (where !== undefined) this.#open.set(id, { type, where, run: this.#run })
    },
    destroy: (id) => void this.#open.delete(id),
  })

  /** From now on, what is opened belongs to this run. */
  begin(run: number): void {
    this.#run = run
    this.#hook.enable()
  }

  /** The run is over. */
  end(): void {
    this.#run = 0
  }

  /** True when nothing of a run is open. */
  isClosed(run: number): boolean {
    return ![...this.#open.values()].some((opened) => opened.run === run)
  }

  /** What has been left by each of so many runs: one that is kept for all of them is no leak. */
  leftByEach(runs: number): LeftOpen[] {
    this.#hook.disable()
    const byKind = new Map<string, { readonly left: LeftOpen; readonly by: Set<number> }>()
    for (const { type, where, run } of this.#open.values()) {
      const kind = `${type} ${where}`
      const entry = byKind.get(kind) ?? { left: { type, where }, by: new Set() }
      byKind.set(kind, entry)
      entry.by.add(run)
    }
    return [...byKind.values()].filter(({ by }) => by.size === runs).map(({ left }) => left)
  }
}

// Built, all of it lies in dist; from the sources, here and in src.
const OURS = [new URL('../', import.meta.url), new URL('../../src/', import.meta.url)].map((url) => url.href)

/** Where something was opened; undefined when it is Node's own, or this library's. */
function placeIn(stack: string, type: string): string | undefined {
  const frames = stack.split('\n').slice(1)
  // The timers' own frames, and then whoever asked for one: Node's own code does for its signals and its connections.
  const own = frames.findLastIndex((line) => /node:(?:internal\/)?(?:timers|async_hooks)\b/.test(line))
  if (type === 'Timeout') {
    const caller = frames[own + 1] ?? ''
    if (caller.includes('node:') || isOurs(caller)) return undefined
  }
  const frame = frames.find(
    (line) => !(line.includes('node:') || isOurs(line) || line.includes('new AsyncHook')),
  )
  const place = /\(?((?:file:\/\/)?[^\s()]+:\d+):\d+\)?$/.exec(frame ?? '')?.[1] ?? ''
  return place.startsWith('file://')
    ? fileURLToPath(place.replace(/:\d+$/, '')) + (/:\d+$/.exec(place)?.[0] ?? '')
    : place
}

function isOurs(frame: string): boolean {
  return OURS.some((folder) => frame.includes(folder))
}
