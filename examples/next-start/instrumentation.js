// #region instrumentation
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

export async function register() {
  if (process.env.NEXT_RUNTIME !== 'nodejs') return
  // Node loads it, and not the bundler, so that handlers are found beside it.
  const file = pathToFileURL(join(process.cwd(), 'jobs/runtime.js')).href
  const { runtime } = await import(/* turbopackIgnore: true */ /* webpackIgnore: true */ file)
  globalThis.jobs = runtime
}
// #endregion instrumentation
