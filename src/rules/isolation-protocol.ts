/** What a thread tells of one run of a handler when it is looked at what handlers leave behind. */

/** The message of the log line that carries it. */
export const ISOLATION_LINE = 'aftertask.isolation'

/** Runs of a thread that are looked at closely: what is there after each of them is left by each. */
export const CLOSE_LOOKS = 2

/** Runs between two looks at the memory. */
export const MEMORY_STRIDE = 20

/** Something that a run has left open. */
export interface LeftOpen {
  /** Node's name for what it is, such as `Timeout`. */
  readonly type: string
  /** Where it was opened; empty when nothing tells. */
  readonly where: string
}

/** What was seen after a run. */
export interface RunSeen {
  /** Counted from 1, from the start of the thread. */
  readonly run: number
  /** What has changed of the language, the globals and Node's modules since before the first run, as sentences. */
  readonly changes?: readonly string[]
  /** What has changed of the environment since then, as sentences. */
  readonly environment?: readonly string[]
  /** The events of which each close look found more listeners than the one before. */
  readonly listeners?: readonly string[]
  /** What each closely looked at run has left open. */
  readonly open?: readonly LeftOpen[]
  /** Bytes in use, after a collection. */
  readonly memory?: number
  /** Open file descriptors of the process, where the system tells. */
  readonly files?: number | undefined
}
