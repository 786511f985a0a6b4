/** `aftertask work`: a process that does nothing but run the jobs of a task file. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { bullmqBroker } from '../brokers/bullmq.ts'
import { createRuntime, type Runtime, type RuntimeOptions } from '../engine/runtime.ts'
import type { AnyTask } from '../rules/task.ts'
import { OptionsInvalidError } from '../words/errors.ts'
import { openHealth } from './health.ts'

/** How to call it. */
export const workUsage = `aftertask work <tasks file> --store <redis://... or postgres://...>
  [--store URL]        where jobs are kept; default: $AFTERTASK_STORE
  [--prefix aftertask] the prefix that the web processes use
  [--pool NAME]...     run the jobs of these pools only
  [--concurrency N]    threads of each pool that is run
  [--lease 30000]      milliseconds after which another process may take a job of a dead one
  [--port N]           GET /health and GET /ready on this port
  [--host 0.0.0.0]     where that port is opened
  [--grace 30000]      milliseconds that running jobs have at SIGTERM`

const flags = {
  store: { type: 'string' },
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

/** Runs until SIGTERM or SIGINT, and stops in good order. Rejects when the process cannot work at all. */
export async function work(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({ args: [...args], options: flags, allowPositionals: true })
  const [file] = positionals
  const store = values.store ?? process.env['AFTERTASK_STORE']
  if (file === undefined || store === undefined)
    throw new OptionsInvalidError(`What is to be run, and from where?\n\n${workUsage}`)
  const module = (await import(pathToFileURL(resolve(file)).href)) as Record<string, unknown>
  const options = (module['runtimeOptions'] ?? {}) as FileOptions
  const lease = values.lease === undefined ? {} : { lease: whole('lease', values.lease) }
  const pools = values.pool === undefined ? {} : { pools: values.pool }
  const prefix = values.prefix === undefined ? {} : { prefix: values.prefix }
  const runtime = createRuntime({
    ...withThreads(options, values.concurrency),
    tasks: Object.values(module).filter(isTask),
    broker: bullmqBroker({ connection: store, role: 'worker', ...prefix, ...pools, ...lease }),
  })
  const state = { isReady: false }
  logEvents(runtime)
  const health =
    values.port === undefined
      ? undefined
      : await openHealth(runtime, () => state.isReady, whole('port', values.port), values.host)
  stopOnSignal(runtime, whole('grace', values.grace), () => {
    state.isReady = false
    return health?.close()
  })
  await runtime.ready()
  state.isReady = true
  log('info', 'ready', { pid: process.pid, ...(health === undefined ? {} : { port: health.port }) })
}

function stopOnSignal(runtime: Runtime, grace: number, closing: () => Promise<void> | undefined): void {
  let isStopping = false
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    // Whoever asks twice does not want to wait.
    if (isStopping) process.exit(1)
    isStopping = true
    log('info', 'stopping', { signal, pending: runtime.stats().pending })
    const report = await runtime.stop({ timeout: grace })
    await closing()
    const { completed, failed, lost } = report
    log('info', 'stopped', { completed, failed, lost: lost.length })
    process.exit(lost.length > 0 ? 1 : 0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal))
}

/** One line of JSON for each thing that somebody may have to look into. */
function logEvents(runtime: Runtime): void {
  runtime.on('job:dead', ({ job, error, total }) =>
    log('error', 'job:dead', { job, error: inWords(error), total }),
  )
  runtime.on('job:retrying', ({ job, error, delay }) => {
    log('warn', 'job:retrying', { job, error: inWords(error), delay })
  })
  runtime.on('job:interrupted', ({ job, reason }) => log('warn', 'job:interrupted', { job, reason }))
  runtime.on('job:fenced', ({ job, state, error }) =>
    log('warn', 'job:fenced', { job, state, error: inWords(error) }),
  )
  runtime.on('job:log', ({ job, level, message, data }) => log(level, 'job:log', { job, message, data }))
  runtime.on('thread:exited', ({ pool, thread, exitCode, expected, error }) => {
    if (!expected) log('error', 'thread:exited', { pool, thread, exitCode, error: error && inWords(error) })
  })
  runtime.on('broker:down', ({ error }) => log('error', 'broker:down', { error: inWords(error) }))
  runtime.on('broker:up', ({ downFor }) => log('info', 'broker:up', { downFor }))
}

function log(level: string, event: string, fields: object): void {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level, event, ...fields })}\n`)
}

function inWords(error: Error): string {
  return `${error.name}: ${error.message}`
}

function withThreads(options: FileOptions, concurrency: string | undefined): FileOptions {
  if (concurrency === undefined) return options
  const threads = whole('concurrency', concurrency)
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

function whole(name: string, text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 0) return value
  throw new OptionsInvalidError(`--${name} must be a whole number.\n\n${workUsage}`, name)
}

function isTask(value: unknown): value is AnyTask {
  return typeof value === 'object' && value !== null && 'policy' in value && 'handler' in value
}
