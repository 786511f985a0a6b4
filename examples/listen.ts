/** How every example starts: a port from the environment, this machine only, and an end that loses nothing. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type Runtime, shutdown } from 'aftertask'
import type { Polka } from 'polka'

/**
 * Starts an app and returns its address, such as `http://localhost:3000`. `PORT` chooses another port, 0 any free one.
 * When it cannot start it says why in one line, and the process exits with 1.
 */
export async function listen(app: Polka, runtime: Runtime): Promise<string> {
  const wanted = process.env.PORT ?? '3000'
  const port = Number(wanted)
  if (!/^\d+$/.test(wanted) || port > 65_535) {
    return giveUp(`PORT is "${wanted}"; it must be a whole number from 0 to 65535. 0 means any free port.`)
  }
  // What is wrong with a handler's file is said now, not when the first job needs it.
  await runtime.ready().catch((error: Error) => giveUp(error.message))
  app.listen(port, '127.0.0.1')
  await once(app.server, 'listening').catch((error: NodeJS.ErrnoException) => giveUp(reason(error, port)))
  // SIGTERM and SIGINT: open responses finish, then the jobs, then the process ends.
  shutdown(app.server, runtime)
  return `http://localhost:${(app.server.address() as AddressInfo).port}`
}

function reason(error: NodeJS.ErrnoException, port: number): string {
  if (error.code === 'EADDRINUSE') {
    return `Port ${port} is taken. Stop what uses it, or choose another: PORT=${port + 1} npm start`
  }
  if (error.code === 'EACCES')
    return `Port ${port} needs more rights than this process has. Choose one above 1023.`
  return error.message
}

function giveUp(why: string): never {
  console.error(why)
  process.exit(1)
}
