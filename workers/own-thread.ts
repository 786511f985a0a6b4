/** Marks this thread as one of the library's, so that whatever belongs to the server is refused here. */
import { Server } from 'node:net'
import { OWN_THREAD, refuseInThread } from '../src/rules/own-thread.ts'
import { runningAttempt, runningModule } from './whose.ts'

/** From now on `createRuntime` and the like throw in this thread, and so does a module that listens on a port. */
export function markThread(): void {
  Object.defineProperty(globalThis, OWN_THREAD, { value: whoseDoing })
  const { listen } = Server.prototype
  Server.prototype.listen = function (this: Server, ...args: unknown[]): Server {
    // A job may open a server of its own. A module that does so as it is imported is the server's, most likely: it
    // would take the port away from it, or fail for it, in every thread.
    if (runningModule() !== undefined && isFixedPort(args[0])) refuseInThread('listen')
    return Reflect.apply(listen, this, args)
  } as typeof listen
}

function whoseDoing(): string {
  const module = runningModule()
  if (module !== undefined) {
    const tasks = [...new Set(module.tasks)].map((name) => `"${name}"`).join(', ')
    return `while the handler of ${tasks} (${module.shown}) was imported`
  }
  const attempt = runningAttempt()
  return attempt === undefined ? 'while it started' : `by the handler of "${attempt.name}"`
}

function isFixedPort(given: unknown): boolean {
  const port = typeof given === 'object' && given !== null ? Reflect.get(given, 'port') : given
  return Number(port) > 0
}
