/** What a command of `aftertask` is, and what those have in common that ask something. */
import type { JobInfo } from '../words/job.ts'
import type { Reach } from './answering.ts'
import { readFlags } from './flags.ts'
import { Output } from './output.ts'
import { reach, reachFlags, reachUsage, type Target } from './reach.ts'

/** One command. */
export interface Command {
  /** How to call it. */
  readonly usage: string
  /** Does it; resolves to the exit code, or to nothing for one that goes on. */
  run(args: readonly string[]): Promise<number | undefined>
}

/** Exit codes: a check that does not hold or something that is not there, a call that makes no sense, nobody who answers. */
export const EXIT = { done: 0, failed: 1, misused: 2, unreachable: 3 } as const

/** A page of jobs, as the operation `jobs` answers. */
export interface Page {
  readonly jobs: readonly JobInfo[]
  readonly next?: string
  readonly searched?: number
}

/** The flags of every command that asks. */
export const askFlags = { ...reachFlags, json: { type: 'boolean', default: false } } as const

/** How to call them. */
export const askUsage = `  [--json]             a line of JSON for each
${reachUsage}`

type Flags = Parameters<typeof readFlags>[1]
type Values<F extends Flags> = ReturnType<typeof readFlags<F>>['values']

/** What a command that asks is given. */
export interface Asking<F extends Flags> {
  readonly values: Values<F>
  readonly positionals: readonly string[]
  readonly reach: Reach
  readonly out: Output
}

/** A command that asks: reads its flags, reaches what they name, and lets go of it at the end. */
export function asking<const F extends Flags>(
  usage: string,
  flags: F,
  purpose: 'look' | 'change' | ((values: Values<F>) => 'look' | 'change'),
  run: (given: Asking<F>) => Promise<number>,
): Command {
  return {
    usage,
    async run(args) {
      const { values, positionals } = readFlags(args, flags, usage)
      const reached = await reach(
        values as Target,
        typeof purpose === 'function' ? purpose(values as Values<F>) : purpose,
      )
      const out = new Output()
      try {
        return await run({ values: values as Values<F>, positionals, reach: reached, out })
      } finally {
        await out.flushed()
        await reached.close()
      }
    },
  }
}

/** Resolves when somebody asks the command to end, or what it asks answers no more. */
export function ended({ gone }: Reach): Promise<void> {
  const told = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve())
  })
  return Promise.race([told, gone])
}
