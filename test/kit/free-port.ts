/** A port that nobody listens on, for a server that is not ours and has to be told one. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

/** Asks the system for a port and gives it back. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
