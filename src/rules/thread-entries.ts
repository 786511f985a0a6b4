/**
 * Where the code of the threads is. The build puts modules together in other files than these, so there is one place
 * that knows the way: this folder lies as deep below `src` as the one for shared code lies below `dist/src`.
 */
import { existsSync } from 'node:fs'
import { BundledError } from '../words/errors.ts'

// A bundler that writes CommonJS leaves nothing here.
const here: string | undefined = import.meta.url

// `.ts` when this module itself runs from source, `.js` once built.
const entry = (name: string): URL =>
  new URL(`../../workers/${name}${here?.slice(-3) ?? '.js'}`, here ?? 'file:///bundled/into/one.js')

/** What runs the jobs. */
export const TASK_THREAD: URL = entry('task-thread')
/** What runs them when it is looked at what handlers leave behind. */
export const ISOLATION_THREAD: URL = entry('isolation-thread')
/** What owns the database of a journal. */
export const JOURNAL_THREAD: URL = entry('journal-thread')

/** Throws BundledError when the code of a thread is not there: better at once than from each thread. */
export function mustBeThere(thread: URL): void {
  if (!existsSync(thread)) throw new BundledError(`${thread.pathname} is missing`)
}
