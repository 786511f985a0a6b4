/** `aftertask work`: a process that does nothing but run the jobs of a task file. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { bullmqBroker } from '../brokers/bullmq.ts'
import type { Broker } from '../brokers/port/broker.ts'
import { sqliteBroker } from '../brokers/sqlite.ts'
import { leave } from '../engine/leave.ts'
import { type AnyRuntime, createRuntime, engineOf } from '../engine/runtime.ts'
import type { RuntimeOptions } from '../engine/runtime-options.ts'
import { onStopSignals } from '../engine/stop-signals.ts'
import type { AnyTask } from '../rules/task.ts'
import { OptionsInvalidError } from '../words/errors.ts'
import { expectStore } from './answering.ts'
import type { Command } from './command.ts'
import { readFlags, whole } from './flags.ts'
import { type Health, openHealth } from './health.ts'
import { log, logEvents } from './worker-log.ts'

/** How to call it. */
const workUsage = `aftertask work <tasks file> --store <redis://... or postgres://...>
aftertask work <tasks file> --journal <file>
  [--store URL]        where jobs are kept; default: $AFTERTASK_STORE
  [--journal FILE]     or the file of sqliteBroker({ file, shared: true }) on this machine; default: $AFTERTASK_JOURNAL
  [--control PATH]     a socket through which the other commands reach this process; "true": in the default folder
  [--prefix aftertask] the prefix that the web processes use
  [--pool NAME]...     run the jobs of these pools only
  [--concurrency N]    threads of each pool that is run
  [--lease 30000]      milliseconds after which another process may take a job of a dead one
  [--port N]           GET /health and GET /ready on this port
  [--host 0.0.0.0]     where that port is opened
  [--grace 30000]      milliseconds that running jobs have at SIGTERM`

const flags = {
  store: { type: 'string' },
  journal: { type: 'string' },
  control: { type: 'string' },
  prefix: { type: 'string' },
  pool: { type: 'string', multiple: true },
  concurrency: { type: 'string' },
  lease: { type: 'string' },
  port: { type: 'string' },
  host: { type: 'string', default: '0.0.0.0' },
  grace: { type: 'string', default: '30000' },
} as const

/** What a task file may say of the runtimes that run its tasks, as `export const runtimeOptions`. */
type FileOptions = Omit<RuntimeOptions, 'tasks' | 'broker'>

/** `aftertask work`. */
export const workCommand: Command = {
  usage: workUsage,
  async run(args) {
    await work(args)
    return undefined
  },
}

/** Runs until SIGTERM or SIGINT, and stops in good order. Rejects when the process cannot work at all. */
async function work(args: readonly string[]): Promise<void> {
  const { values, positionals } = readFlags(args, flags, workUsage)
  const [file, ...others] = positionals
  if (file === undefined)
    throw new OptionsInvalidError(`The file that exports the tasks is missing.\n\n${workUsage}`, 'file')
  if (others.length > 0)
    throw new OptionsInvalidError(
      `One file of tasks, and not ${others.join(', ')} as well: import the others there.`,
    )
  const number = (name: 'lease' | 'port' | 'grace', least: number): number | undefined =>
    values[name] === undefined ? undefined : whole(name, values[name], least, workUsage)
  const [lease, port, grace = 0] = [number('lease', 500), number('port', 0), number('grace', 0)]
  const broker = brokerOf(values, lease)
  const { tasks, options } = await tasksIn(file)
  checkPools(values.pool ?? [], tasks)
  for (const { name, policy } of tasks) checkPool(name, policy.pool, options)
  const runtime = createRuntime({
    ...withThreads(options, values.concurrency),
    tasks,
    broker,
    ...(values.control !== undefined && { control: values.control === 'true' || values.control }),
  })
  logEvents(runtime)
  const state = { isReady: false }
  let health: Health | undefined
  try {
    if (port !== undefined) health = await openHealth(runtime, () => state.isReady, port, values.host)
    stopOnSignal(runtime, grace, async () => {
      state.isReady = false
      await health?.close()
    })
    await runtime.ready()
  } catch (error) {
    // Nobody is to wait for a process that will never work.
    await Promise.all([health?.close(), runtime.stop({ timeout: 0 })])
    throw error
  }
  state.isReady = true
  log('info', 'ready', { pid: process.pid, ...(health === undefined ? {} : { port: health.port }) })
}

interface Place {
  readonly store?: string | undefined
  readonly journal?: string | undefined
  readonly prefix?: string | undefined
  readonly pool?: string[] | undefined
}

/** Where the jobs are: what a flag says goes before what the environment says. */
function brokerOf(values: Place, lease: number | undefined): Broker {
  const isNamed = values.store !== undefined || values.journal !== undefined
  const env = (name: string): string | undefined => (isNamed ? undefined : process.env[name] || undefined)
  const store = values.store ?? env('AFTERTASK_STORE')
  const journal = values.journal ?? env('AFTERTASK_JOURNAL')
  if (store !== undefined && journal !== undefined)
    throw new OptionsInvalidError(
      'A store and a journal are named: give one of --store and --journal.',
      'store',
    )
  if (journal !== undefined) {
    // All processes of a file know its pools, and a prefix is a matter of stores.
    const odd = (['prefix', 'pool'] as const).find((name) => values[name] !== undefined)
    if (odd !== undefined)
      throw new OptionsInvalidError(`--${odd} goes with --store, and not with --journal.`, odd)
    return sqliteBroker({ file: journal, shared: true })
  }
  if (store === undefined)
    throw new OptionsInvalidError(
      `--store is missing, and AFTERTASK_STORE is not set.\n\n${workUsage}`,
      'store',
    )
  return bullmqBroker({
    ...{ connection: expectStore(store), role: 'worker' },
    ...(lease === undefined ? {} : { lease }),
    ...(values.pool === undefined ? {} : { pools: values.pool }),
    ...(values.prefix === undefined ? {} : { prefix: values.prefix }),
  })
}

async function tasksIn(file: string): Promise<{ tasks: AnyTask[]; options: FileOptions }> {
  const path = resolve(file)
  if (!existsSync(path))
    throw new OptionsInvalidError(`There is no file ${path}: give the one that exports the tasks.`)
  const module = (await import(pathToFileURL(path).href)) as Record<string, unknown>
  const tasks = Object.values(module).flat().filter(isTask)
  if (tasks.length === 0)
    throw new OptionsInvalidError(
      `${path} exports no task: export what defineTask returns, by name or in an array.`,
    )
  return { tasks, options: (module['runtimeOptions'] ?? {}) as FileOptions }
}

/** A pool that no task names would leave the process without work for ever, and without a word. */
function checkPools(asked: readonly string[], tasks: readonly AnyTask[]): void {
  const known = [...new Set(tasks.map(({ policy }) => policy.pool))]
  const unknown = asked.find((pool) => !known.includes(pool))
  if (unknown !== undefined)
    throw new OptionsInvalidError(
      `--pool ${unknown}: no task names it. There are: ${known.join(', ')}.`,
      'pool',
    )
}

/** A pool of a task that the file does not set up. */
function checkPool(task: string, pool: string, { pools = {} }: FileOptions): void {
  if (pool === 'default' || pool === 'io' || Object.hasOwn(pools, pool)) return
  throw new OptionsInvalidError(
    `Task "${task}" asks for pool "${pool}", which is not there. Write in the file of tasks: export const runtimeOptions = { pools: { ${pool}: {} } }`,
    'pools',
  )
}

function stopOnSignal(runtime: AnyRuntime, grace: number, closing: () => Promise<void>): void {
  const { clock, pools } = runtime[engineOf]
  let isHurried = false
  const begin = async (signal: NodeJS.Signals): Promise<void> => {
    log('info', 'stopping', { signal, pending: runtime.stats().pending })
    const { completed, failed, lost, left } = await runtime.stop({ timeout: grace })
    await closing()
    log('info', 'stopped', { completed, failed, lost: lost.length, left: left.length })
    await leave(lost.length > 0 || isHurried ? 1 : 0, pools.hasStuckThread)
  }
  onStopSignals({
    ...{ signals: ['SIGTERM', 'SIGINT'], clock },
    begin: (signal) => void begin(signal).catch((error: unknown) => failedToStop(error)),
    hurry: (signal) => {
      isHurried = true
      log('warn', 'stopping at once', { signal })
      runtime.stop({ timeout: 0 }).catch(() => {})
    },
  })
}

function failedToStop(error: unknown): void {
  log('error', 'stop failed', { error: error instanceof Error ? error.message : String(error) })
  process.exit(1)
}

function withThreads(options: FileOptions, concurrency: string | undefined): FileOptions {
  if (concurrency === undefined) return options
  const threads = whole('concurrency', concurrency, 1, workUsage)
  const sized = (pool: RuntimeOptions['pool'] = {}): RuntimeOptions['pool'] => {
    const { min: _min, max: _max, ...rest } = pool
    return { ...rest, threads }
  }
  const pools = Object.entries(options.pools ?? {}).map(([name, pool]) => [name, sized(pool)] as const)
  return {
    ...options,
    pool: sized(options.pool) ?? {},
    pools: Object.fromEntries(pools) as typeof options.pools & object,
  }
}

function isTask(value: unknown): value is AnyTask {
  return typeof value === 'object' && value !== null && 'policy' in value && 'handler' in value
}
