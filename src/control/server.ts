/** The control socket of a runtime: a unix socket through which its owner asks and tells it, from a terminal. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, linkSync, lstatSync, mkdtempSync, renameSync, rmSync, unlinkSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { AftertaskError, ControlUnavailableError } from '../words/errors.ts'
import { serveClient } from './connection.ts'
import type { Controlled, EventSource } from './controlled.ts'
import { errorFrame } from './frames.ts'
import { placeFor } from './place.ts'

/** Clients at a time. */
const MOST_CLIENTS = 100

/** An open control socket. */
export interface ControlSocket {
  readonly path: string
  /** Lets every client go, and removes the socket. */
  close(): Promise<void>
}

/**
 * Opens the control socket of a runtime, at a path or (`true`) in the default folder. Only the owner of the process may connect.
 * It does not keep the process alive.
 *
 * @throws OptionsInvalidError, ControlUnavailableError (as a rejection) when it cannot be opened there.
 */
export async function openControl(
  runtime: Controlled,
  watch: EventSource,
  given: true | string,
): Promise<ControlSocket> {
  let path = given === true ? '' : given
  try {
    path = await placeFor(given)
    return await listen(runtime, watch, path)
  } catch (cause) {
    if (cause instanceof AftertaskError) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new ControlUnavailableError(path, `The control socket ${path} cannot be opened: ${why}.`, { cause })
  }
}

async function listen(runtime: Controlled, watch: EventSource, path: string): Promise<ControlSocket> {
  const clients = new Set<Socket>()
  const server = createServer((socket) => {
    socket.unref()
    if (clients.size >= MOST_CLIENTS) {
      const message = `There are ${MOST_CLIENTS} clients already.`
      socket.on('error', () => {})
      socket.end(errorFrame(null, new ControlUnavailableError(path, message)), () => socket.destroy())
      return
    }
    clients.add(socket)
    socket.once('close', () => clients.delete(socket))
    void serveClient(socket, runtime, watch)
  })
  await bind(server, path)
  server.on('error', () => {})
  server.unref()
  const { ino } = lstatSync(path)
  const remove = (): void => {
    // Somebody may have removed it, and have put another there.
    if (lstatSync(path, { throwIfNoEntry: false })?.ino === ino) unlinkSync(path)
  }
  const atExit = (): void => {
    try {
      remove()
    } catch {
      // The process ends: there is nobody to tell.
    }
  }
  process.once('exit', atExit)
  return {
    path,
    async close() {
      process.off('exit', atExit)
      atExit()
      server.close()
      for (const client of clients) client.destroy()
      await once(server, 'close')
    },
  }
}

function giveName(made: string, path: string): void {
  try {
    linkSync(made, path)
  } catch (error) {
    // Some file systems link no sockets.
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP'].includes(String(Reflect.get(error as object, 'code'))))
      throw error
    renameSync(made, path)
  }
}

/**
 * Binds in a folder that nobody else may enter, and gives the socket its name once it has its permissions: at no moment may
 * another user connect, and whoever has taken the name meanwhile keeps it.
 */
async function bind(server: Server, path: string): Promise<void> {
  const folder = mkdtempSync(`${dirname(path)}/.`)
  // The address has room for little more than the path.
  const made = join(folder, randomBytes(1).toString('hex'))
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(made, () => {
        server.off('error', reject)
        resolve()
      })
    })
    chmodSync(made, 0o600)
    giveName(made, path)
  } catch (error) {
    server.close()
    throw error
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
