/** The empty job as poolifier wants it. */
import { ThreadWorker } from 'poolifier'
import noop from './noop.ts'

export default new ThreadWorker<unknown, void>(noop)
