/** The handlers of a thread, as whoever runs them sees them. */
import type { LaneProblem } from '../src/rules/protocol.ts'

/** A handler as the thread calls it. */
export type AnyHandler = (payload: unknown, context: unknown) => unknown

/** The handlers of a thread by task number. */
export interface LoadedHandlers {
  readonly problems: readonly LaneProblem[]
  readonly names: readonly string[]
  /** The handler, or a promise of it when its module is still to be imported. Throws what is wrong with it. */
  get(task: number): AnyHandler | Promise<AnyHandler>
  /** True for an error of `get` that this thread will give again, though another thread may fare better. */
  isRemembered(error: unknown): boolean
  /** True for an error of `get` after which this thread can run nothing any more. */
  hasRuined(error: unknown): boolean
}
