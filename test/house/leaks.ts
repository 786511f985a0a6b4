/** Notices every worker thread and listening server of this process, whoever makes it, from the moment it is asked to. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import type { Server } from 'node:net'
import type { Worker } from 'node:worker_threads'

/** What is watched, until `stop`. */
export interface LeakWatch {
  /** Describes what is still alive, after waiting at most `grace` milliseconds for threads that are about to exit. */
  leaks(grace?: number): Promise<string[]>
  /** Ends what is still alive, so that one leak does not become a hanging process. */
  end(): Promise<void>
  /** Stops watching. */
  stop(): void
}

/**
 * Starts to watch. Node's own diagnostics channels tell of each thread and server, so nothing is patched, and
 * what is unref'd or made by a dependency is seen as well. `maker` names who makes it, for the report.
 */
export function watchLeaks(maker: () => string): LeakWatch {
  const threads = new Map<Worker, string>()
  const servers = new Map<Server, string>()
  const onThread = (message: unknown): void => {
    const { worker } = message as { worker: Worker }
    threads.set(worker, origin(maker))
  }
  const onListen = (message: unknown): void => {
    const { server } = message as { server: Server }
    servers.set(server, origin(maker))
  }
  subscribe('worker_threads', onThread)
  subscribe('tracing:net.server.listen:asyncStart', onListen)

  // A thread that has exited has no id any more.
  const alive = (): Worker[] => [...threads.keys()].filter((worker) => worker.threadId !== -1)
  const listening = (): Server[] => [...servers.keys()].filter((server) => server.listening)

  return {
    async leaks(grace = 5000) {
      const deadline = AbortSignal.timeout(grace)
      for (const worker of alive()) {
        // Past the deadline the wait is over, and the thread still has its id.
        await once(worker, 'exit', { signal: deadline }).catch(() => undefined)
      }
      return [
        ...alive().map((worker) => `worker thread ${worker.threadId}, made ${threads.get(worker)}`),
        ...listening().map((server) => `server on ${place(server)}, made ${servers.get(server)}`),
      ]
    },
    async end() {
      for (const server of listening()) server.close()
      await Promise.all(alive().map((worker) => worker.terminate()))
    },
    stop() {
      unsubscribe('worker_threads', onThread)
      unsubscribe('tracing:net.server.listen:asyncStart', onListen)
    },
  }
}

function place(server: Server): string {
  const address = server.address()
  return typeof address === 'string' ? address : `port ${address?.port}`
}

/** Who made it, and the first lines of the stack that are neither Node's nor this file's. */
function origin(maker: () => string): string {
  const lines = (new Error('made here').stack ?? '')
    .split('\n')
    .filter((line) => line.includes(' at ') && !line.includes('node:') && !line.includes('/leaks.ts'))
  return `${maker()}\n${lines.slice(0, 4).join('\n')}`
}
