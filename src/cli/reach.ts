/**
 * What a command asks: a running process through its socket, the file of a journal, or a store. Each answers the same operations.
 */
import { resolve } from 'node:path'
import type { OperationName } from '../control/api.ts'
import { ControlClient } from '../control/client.ts'
import { controlFolders, livingSockets } from '../control/place.ts'
import { OptionsInvalidError } from '../words/errors.ts'
import type { Reach } from './answering.ts'

/** The flags of every command that asks. */
export const reachFlags = {
  control: { type: 'string' },
  journal: { type: 'string' },
  store: { type: 'string' },
  prefix: { type: 'string' },
} as const

/** How to call them. */
export const reachUsage = `  [--control PATH]     a running process by its socket; default: $AFTERTASK_CONTROL
  [--journal FILE]     the file of sqliteBroker; default: $AFTERTASK_JOURNAL
  [--store URL]        redis://... or postgres://...; default: $AFTERTASK_STORE
  [--prefix aftertask] the prefix of the store; default: $AFTERTASK_PREFIX
                       without any of them: the one running process that has control: true`

/** What somebody wants to reach. */
export interface Target {
  readonly control?: string | undefined
  readonly journal?: string | undefined
  readonly store?: string | undefined
  readonly prefix?: string | undefined
}

/** `change`: something is to be changed there. */
export async function reach(given: Target, purpose: 'look' | 'change' = 'look'): Promise<Reach> {
  const target = targetOf(given)
  if (target.journal !== undefined) {
    const { reachJournal } = await import('./offline.ts')
    return reachJournal(resolve(target.journal), purpose)
  }
  if (target.store !== undefined) {
    const { reachStore } = await import('./offline.ts')
    return reachStore(target.store, target.prefix)
  }
  return reachProcess(target.control ?? (await theOneProcess()))
}

/** What a flag says goes before all that the environment says; of the environment, what is nearest to the process. */
function targetOf(given: Target): Target {
  const named = (['control', 'journal', 'store'] as const).filter((name) => given[name] !== undefined)
  if (named.length > 1)
    throw new OptionsInvalidError(`--${named.join(' and --')}: give one of them, which says what to look at.`)
  const env = (name: string): string | undefined => process.env[`AFTERTASK_${name}`] || undefined
  const prefix = given.prefix ?? env('PREFIX')
  if (named.length === 1) return { ...given, prefix }
  if (env('CONTROL') !== undefined) return { control: env('CONTROL') }
  if (env('JOURNAL') !== undefined) return { journal: env('JOURNAL') }
  return { store: env('STORE'), prefix }
}

async function theOneProcess(): Promise<string> {
  const found = await livingSockets()
  if (found.length === 1) return found[0] as string
  const advice =
    'Give --control PATH, --journal FILE or --store URL, or start the server with createRuntime({ control: true }).'
  if (found.length > 1)
    throw new OptionsInvalidError(
      `There are ${found.length} running processes: ${found.join(', ')}. ${advice}`,
    )
  throw new OptionsInvalidError(
    `There is no running process to ask (in ${controlFolders().join(', ')}). ${advice}`,
  )
}

async function reachProcess(path: string): Promise<Reach> {
  const client = await ControlClient.to(path)
  return {
    name: `process ${client.pid}`,
    ask: <Answer>(op: OperationName, args?: object) => client.ask(op, args) as Promise<Answer>,
    follow: (filter, take) => client.follow(filter, take),
    gone: client.gone,
    close: async () => client.close(),
  }
}
