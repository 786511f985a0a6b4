/**
 * Where the code of the threads is. The build puts modules together in other files than these, so there is one place
 * that knows the way: this folder lies as deep below `src` as the one for shared code lies below `dist/src`.
 */

// `.ts` when this module itself runs from source, `.js` once built.
const entry = (name: string): URL =>
  new URL(`../../workers/${name}${import.meta.url.slice(-3)}`, import.meta.url)

/** What runs the jobs. */
export const TASK_THREAD: URL = entry('task-thread')
/** What owns the database of a journal. */
export const JOURNAL_THREAD: URL = entry('journal-thread')
