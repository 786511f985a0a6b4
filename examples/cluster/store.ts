/** A store for trying things out: Redis or PostgreSQL on a free port, with its data in a folder that goes when it ends. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A store that runs. */
export interface Store {
  readonly url: string
  stop(): void
}

/** Starts what is installed on this machine; throws when it is not. */
export async function startStore(kind: 'redis' | 'postgres'): Promise<Store> {
  const folder = mkdtempSync(join(tmpdir(), 'cluster-'))
  const port = await freePort()
  return kind === 'redis' ? startRedis(folder, port) : startPostgres(folder, port)
}

async function startRedis(folder: string, port: number): Promise<Store> {
  const keep = ['--appendonly', 'yes', '--maxmemory-policy', 'noeviction']
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, ...keep]
  // A group of its own: Ctrl+C is for the processes, which still need the store to stop in order.
  const server = spawn('redis-server', args, { stdio: 'ignore', detached: true })
  await once(server, 'spawn')
  return {
    url: `redis://127.0.0.1:${port}`,
    stop: () => {
      server.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function startPostgres(folder: string, port: number): Store {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian) : []
  const bin = versions.length > 0 ? join(debian, versions.at(-1) ?? '', 'bin') : ''
  const data = join(folder, 'data')
  // PostgreSQL refuses to run as root.
  const asOther = process.getuid?.() === 0 ? ['runuser', '-u', 'postgres', '--'] : []
  if (asOther.length > 0) chownSync(folder, Number(execFileSync('id', ['-u', 'postgres'])), -1)
  const run = (program: string, ...args: string[]): void => {
    const [command = '', ...rest] = [...asOther, join(bin, program), ...args]
    execFileSync(command, rest, { stdio: ['ignore', 'ignore', 'inherit'], cwd: folder })
  }
  run('initdb', '-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync')
  const options = `-p ${port} -k ${folder} -c listen_addresses=127.0.0.1`
  run('pg_ctl', '-D', data, '-l', join(folder, 'log'), '-o', options, '-w', '-s', 'start')
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    stop: () => {
      run('pg_ctl', '-D', data, '-m', 'immediate', '-s', 'stop')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('The system gave no port.')
  return address.port
}
