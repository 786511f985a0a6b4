/** Redis, Valkey and PostgreSQL for one test file: on a free port of 127.0.0.1, with data in a folder of their own, gone after it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'

/** The stores that there are servers of. */
export type StoreName = 'redis' | 'valkey' | 'postgres'

/** A server that tests may stop and start again. */
export interface StoreServer {
  /** What `bullmqBroker({ connection })` takes. */
  readonly url: string
  start(): Promise<void>
  /** Ends it; `kill`: without any chance to write what it has in memory. */
  stop(kill?: boolean): Promise<void>
  /** Lets it stand still, with all its connections open, until `goOn`. */
  hang(): void
  goOn(): void
  /** Asks it as its administrator: a command of Redis with its arguments, or a query. Returns what its shell prints. */
  ask(...command: string[]): string
  /** Cuts every connection of a client. */
  cut(): void
  /** Ends it and removes its data. */
  dispose(): Promise<void>
}

const programs = { redis: find('redis-server'), valkey: find('valkey-server') }
const postgresFolder = (existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : [])
  .map((version) => `/usr/lib/postgresql/${version}/bin`)
  .find((folder) => existsSync(join(folder, 'initdb')))

/**
 * Why tests of a store cannot run here; undefined when they can. Where `CI` is set a missing server is no reason to skip:
 * its tests run, and fail; except for Valkey, which not every release of Debian has.
 */
export function whyNot(store: StoreName): string | undefined {
  if (process.env['CI'] !== undefined && store !== 'valkey') return undefined
  const isThere = store === 'postgres' ? postgresFolder !== undefined : programs[store] !== undefined
  return isThere
    ? undefined
    : `skipped: ${store === 'postgres' ? 'PostgreSQL' : `${store}-server`} is not installed`
}

/** A server of a kind, not yet started. `options`: more of the command line of Redis. */
export async function storeServer(store: StoreName, options: readonly string[] = []): Promise<StoreServer> {
  return store === 'postgres' ? postgresServer() : redisServer(store, options)
}

async function redisServer(kind: 'redis' | 'valkey', more: readonly string[]): Promise<StoreServer> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), `aftertask-${kind}-`))
  let child: ChildProcess | undefined
  const cli = (...args: string[]): string =>
    execFileSync(`${kind}-cli`, ['-p', String(port), ...args], { encoding: 'utf8', stdio: 'pipe' })
  const goOn = (): void => void child?.kill('SIGCONT')
  const stop = async (kill = false): Promise<void> => {
    if (child === undefined) return
    goOn()
    const gone = once(child, 'exit')
    child.kill(kill ? 'SIGKILL' : 'SIGTERM')
    child = undefined
    await gone
  }
  return {
    url: `${kind}://127.0.0.1:${port}`,
    stop,
    start: async () => {
      // Each answer comes after its write to the file: a killed server loses nothing of that, flushed to the disk or not.
      const persistence = ['--appendonly', 'yes', '--appendfsync', 'no', '--save', '']
      const at = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder]
      const options = [...at, ...persistence, '--maxmemory-policy', 'noeviction', ...more]
      child = spawn(programs[kind] ?? `${kind}-server`, options, { stdio: ['ignore', 'pipe', 'inherit'] })
      await output(child, 'Ready to accept connections')
    },
    hang: () => void child?.kill('SIGSTOP'),
    goOn,
    ask: cli,
    cut: () => void cli('client', 'kill', 'type', 'normal'),
    dispose: async () => {
      await stop(true)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function postgresServer(): Promise<StoreServer> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-postgres-'))
  const bin = postgresFolder ?? ''
  // The server refuses to run as root.
  const isRoot = process.getuid?.() === 0
  const as = (program: string, ...args: string[]): [string, string[]] =>
    isRoot ? ['runuser', ['-u', 'postgres', '--', join(bin, program), ...args]] : [join(bin, program), args]
  if (isRoot) {
    const uid = Number(execFileSync('id', ['-u', 'postgres'], { encoding: 'utf8' }))
    chownSync(folder, uid, -1)
    chmodSync(folder, 0o700)
  }
  const data = join(folder, 'data')
  const run = (program: string, ...args: string[]): string =>
    execFileSync(...as(program, ...args), { stdio: 'pipe', cwd: '/', encoding: 'utf8' })
  const ask = (...queries: string[]): string =>
    run(
      'psql',
      '-h',
      folder,
      '-p',
      String(port),
      '-U',
      'postgres',
      ...queries.flatMap((one) => ['-qAtc', one]),
    )
  run(
    'initdb',
    '-D',
    data,
    '-U',
    'postgres',
    '-A',
    'trust',
    '--no-sync',
    '-E',
    'UTF8',
    '--locale=C',
    '--wal-segsize=1',
  )
  const ctl = (...args: string[]): string => run('pg_ctl', '-D', data, '-w', '-s', ...args)
  let isUp = false
  // A process for each connection, and the one that starts them.
  const signal = (name: NodeJS.Signals): void => {
    const [first = ''] = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')
    process.kill(Number(first), name)
    const children = readFileSync(`/proc/${first}/task/${first}/children`, 'utf8').trim().split(' ')
    for (const pid of children) signalIfThere(Number(pid), name)
  }
  let hangs = false
  const goOn = (): void => {
    if (hangs) signal('SIGCONT')
    hangs = false
  }
  const stop = async (kill = false): Promise<void> => {
    goOn()
    if (isUp) ctl('stop', '-m', kill ? 'immediate' : 'fast')
    isUp = false
  }
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    stop,
    start: async () => {
      // No test takes the machine's power away, and what was written outlives a killed server without a flush to the disk.
      const quick = '-c fsync=off -c full_page_writes=off -c autovacuum=off -c jit=off'
      const options = `-p ${port} -c listen_addresses=127.0.0.1 -k ${folder} -c max_connections=200 ${quick}`
      ctl('-l', join(folder, 'log'), '-o', options, 'start')
      isUp = true
    },
    hang: () => {
      hangs = true
      signal('SIGSTOP')
    },
    goOn,
    ask,
    cut: () => {
      ask(
        'select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and client_port is not null',
      )
    },
    dispose: async () => {
      await stop(true)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A process that serves one connection may end between the look at the list and this. */
function signalIfThere(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Resolves once a program has printed a text. */
function output(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let printed = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
      if (printed.includes(text)) resolve()
    })
    child.once('error', reject)
    child.once('exit', () => reject(new Error(`It ended before it printed "${text}":\n${printed}`)))
  })
}

function find(program: string): string | undefined {
  const path = (process.env['PATH'] ?? '').split(':')
  return path.map((folder) => join(folder, program)).find((file) => existsSync(file))
}
