/** Tells which files of the user's a thread loads, so that somebody can look whether they change. */
import { registerHooks } from 'node:module'
import type { MessagePort } from 'node:worker_threads'
import { FROM_THREAD } from '../src/rules/protocol.ts'
import * as pristine from './pristine.ts'

/** From now on each file that is loaded is told, before it runs: one that throws as well. What is installed is left out. */
export function tellLoadedFiles(port: MessagePort): void {
  registerHooks({
    load(url, context, nextLoad) {
      if (url.startsWith('file:') && !url.includes('/node_modules/'))
        pristine.post(port, [FROM_THREAD.loaded, url])
      return nextLoad(url, context)
    },
  })
}
