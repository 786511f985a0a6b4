// #region plugin
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

// Node loads it, and not the bundler, so that handlers are found beside it.
const { plugin } = await import(pathToFileURL(join(process.cwd(), 'jobs/runtime.js')).href)

export default plugin
// #endregion plugin
