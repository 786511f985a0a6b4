/** Real trouble with a disk: no room, no permission, writes that fail. A server in a process of its own meets it. */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { journalFile, journalRuntime } from './journal.fixture.ts'

const program = new URL('./disk.fixture.ts', import.meta.url).pathname
const NOBODY = 65_534
const isRoot = process.getuid?.() === 0

const canMount = spawnSync('unshare', ['-Urm', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0
const canLimit = spawnSync('prlimit', ['--version']).status === 0

describe.skipIf(!canMount)('a disk that is really full', () => {
  test('takes no more jobs until there is room, and has lost none that it took', async () => {
    const file = journalFile()
    const mount = `mount -t tmpfs -o size=2m none ${dirname(file)} && exec "$@"`
    const server = new Server(['unshare', '-Urm', 'sh', '-c', mount, 'sh'], file)
    await server.ask('store', 'before')
    const full = { code: 'ERR_BROKER_UNAVAILABLE', reason: 'full', status: 503 }
    await expect(server.ask('store', 'x'.repeat(4_000_000))).rejects.toMatchObject(full)
    expect(await server.ask('stats')).toMatchObject({ phase: 'running' })
    await server.until('run', 'after')
    expect(await server.ask('stats')).toMatchObject({ completed: 2, pending: 0, lost: 1 })
    expect(await server.ask('stop')).toMatchObject({ left: [] })
  })
})

describe.skipIf(!canLimit)('writes that fail while the file is open', () => {
  test('are told as such, and tried again; no job that was stored is lost, and none is run again', async () => {
    const file = journalFile()
    const server = new Server([], file)
    expect(await server.ask('run', 'before')).toBe('before')
    const pid = String(server.pid)
    execFileSync('prlimit', ['--pid', pid, '--fsize=0:'])
    const failed = { code: 'ERR_BROKER_UNAVAILABLE', reason: 'io', status: 503 }
    await expect(server.ask('store', 'meanwhile')).rejects.toMatchObject(failed)
    expect(await server.ask('stats')).toMatchObject({ phase: 'running', completed: 1 })
    execFileSync('prlimit', ['--pid', pid, '--fsize=unlimited:'])
    await server.until('run', 'after')
    expect(await server.ask('stop')).toMatchObject({ left: [] })
    const again = journalRuntime(file)
    expect(await again.counts()).toMatchObject({ completed: 2, available: 0 })
  })
})

describe('a file that may not be written', () => {
  test('is refused as read-only', async () => {
    const file = await closedJournal()
    const server = new Server([], file, forbidding(file, 0o444, 0o777))
    const refusal = { code: 'ERR_BROKER_UNAVAILABLE', reason: 'read-only' }
    await expect(server.ask('ready')).rejects.toMatchObject(refusal)
    await expect(server.ask('store', 1)).rejects.toMatchObject({ ...refusal, status: 503 })
    expect(await server.ask('stats')).toMatchObject({ phase: 'running' })
  })

  test('for its folder is refused, with what to look at', async () => {
    const file = await closedJournal()
    const server = new Server([], file, forbidding(file, 0o666, 0o555))
    await expect(server.ask('ready')).rejects.toMatchObject({
      code: 'ERR_BROKER_UNAVAILABLE',
      message: expect.stringMatching(/folder/),
    })
  })

  test('any more goes on where it is open already, and is refused at the next start', async () => {
    const file = await closedJournal()
    const server = new Server([], file, forbidding(file, 0o666, 0o777))
    expect(await server.ask('run', 'before')).toBe('before')
    forbidding(file, 0o444, 0o777)
    expect(await server.ask('run', 'after')).toBe('after')
    await server.ask('stop')
    const next = new Server([], file, forbidding(file, 0o444, 0o777))
    await expect(next.ask('ready')).rejects.toMatchObject({ reason: 'read-only' })
  })
})

/** A journal that was in use and is closed. */
async function closedJournal(): Promise<string> {
  const file = journalFile()
  const runtime = journalRuntime(file)
  await runtime.ready()
  await runtime.stop()
  return file
}

/** Sets what others may do with a file and its folder; returns how to be one of them, since root may do everything. */
function forbidding(file: string, fileMode: number, folderMode: number): SpawnOptions {
  chmodSync(file, fileMode)
  chmodSync(dirname(file), folderMode)
  onTestFinished(() => chmodSync(dirname(file), 0o777))
  if (!isRoot) return {}
  writeFileSync(`${file}.lock`, '')
  chownSync(`${file}.lock`, NOBODY, NOBODY)
  return { uid: NOBODY, gid: NOBODY }
}

/** A server in a process of its own. */
class Server {
  readonly #child: ChildProcess
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>()
  #number = 0

  constructor(through: readonly string[], file: string, options: SpawnOptions = {}) {
    const [command = '', ...rest] = [...through, process.execPath, program, file]
    this.#child = spawn(command, rest, { ...options, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child.on('message', ([number, error, value]: [number, object | null, unknown]) => {
      const asked = this.#asked.get(number)
      this.#asked.delete(number)
      if (error === null) asked?.resolve(value)
      else asked?.reject(Object.assign(new Error('refused'), error))
    })
    const gone = once(this.#child, 'exit')
    onTestFinished(async () => {
      this.#child.kill('SIGKILL')
      await gone
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  ask(command: string, argument?: unknown): Promise<unknown> {
    const asked = Promise.withResolvers<unknown>()
    this.#asked.set(++this.#number, asked)
    this.#child.send([this.#number, command, argument])
    return asked.promise
  }

  /** Asks again until it is not refused. */
  async until(command: string, argument: unknown): Promise<void> {
    for (;;) {
      try {
        await this.ask(command, argument)
        return
      } catch {
        await new Promise(setImmediate)
      }
    }
  }
}
