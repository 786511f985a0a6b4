/** What an orchestrator asks a worker process: is it alive, and does it work. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { AnyRuntime } from '../engine/runtime.ts'
import { OptionsInvalidError } from '../words/errors.ts'

/** The endpoints of one worker. */
export interface Health {
  readonly port: number
  close(): Promise<void>
}

/**
 * Opens `GET /health` (200 for as long as the process lives, with its numbers) and `GET /ready` (200 once every handler is
 * loaded, while the store can be reached and no stop is under way; else 503).
 */
export async function openHealth(
  runtime: AnyRuntime,
  isReady: () => boolean,
  port: number,
  host: string,
): Promise<Health> {
  const server = createServer((request, response) => {
    const stats = runtime.stats()
    const works = isReady() && stats.phase === 'running' && stats.broker?.state !== 'down'
    if (request.url === '/health') answer(response, 200, stats)
    else if (request.url === '/ready') answer(response, works ? 200 : 503, { ready: works })
    else answer(response, 404, { error: 'Ask for /health or /ready.' })
  })
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (cause) {
    const why = `--port ${port} of ${host} cannot be opened: ${(cause as Error).message}. Give one that is free, or 0.`
    throw new OptionsInvalidError(why, 'port', { cause })
  }
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
