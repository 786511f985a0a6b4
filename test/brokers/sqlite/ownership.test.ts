/** Whose a journal is: that stands on the file itself, whatever becomes of its name and of what stands beside it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  linkSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { ThreadLink } from '../../../src/brokers/sqlite/link.ts'
import type { SqliteSettings } from '../../../src/brokers/sqlite/settings.ts'
import { SqliteBroker } from '../../../src/brokers/sqlite/sqlite-broker.ts'
import { BrokerUnavailableError, createRuntime } from '../../../src/index.ts'
import { journalFile, journalRuntime } from './journal.fixture.ts'
import { until } from './shared.fixture.ts'
import { echo, waits } from './tasks.fixture.ts'

vi.setConfig({ testTimeout: 60_000 })

const LOCKED = { code: 'ERR_JOURNAL_LOCKED', pid: process.pid }
const BESIDE = ['.lock', '-wal', '-shm']

describe('a file that is open', () => {
  test('is refused to another runtime after its lock was removed', async () => {
    const { file } = await open()
    rmSync(`${file}.lock`)
    await expect(journalRuntime(file).ready()).rejects.toMatchObject(LOCKED)
  })

  test('is refused to another runtime after everything beside it was removed', async () => {
    const { file, runtime } = await open()
    const before = await stored(runtime, 'before')
    await until(() => statSync(`${file}-wal`).size > 0)
    for (const suffix of BESIDE) rmSync(file + suffix)
    // By then what stood in the log that was removed is in the file, and there is a new one.
    await until(() => existsSync(`${file}-wal`))
    await expect(journalRuntime(file).ready()).rejects.toMatchObject({ code: 'ERR_JOURNAL_LOCKED' })
    runtime.resume()
    expect(await before.result()).toBe('before')
    expect(await runtime.enqueue(echo, 'after').result()).toBe('after')
  })

  test('is refused in a process of its own after its lock was removed', async () => {
    const file = journalFile()
    const program = new URL('./shared-process.fixture.ts', import.meta.url).pathname
    const child = spawn(process.execPath, [program, file], { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    await once(child.stdout, 'data')
    rmSync(`${file}.lock`)
    await expect(journalRuntime(file).ready()).rejects.toMatchObject({
      code: 'ERR_JOURNAL_LOCKED',
      pid: child.pid,
    })
    child.kill('SIGKILL')
    await once(child, 'exit')
    await journalRuntime(file).ready()
  })

  test('is refused by a symbolic link to it', async () => {
    const { file } = await open()
    symlinkSync(file, `${file}.other`)
    await expect(journalRuntime(`${file}.other`).ready()).rejects.toMatchObject(LOCKED)
  })

  test('is refused by a second name: SQLite would not find its log', async () => {
    const { file } = await open()
    linkSync(file, `${file}.other`)
    const linked = { code: 'ERR_BROKER_UNAVAILABLE', reason: 'linked' }
    await expect(journalRuntime(`${file}.other`).ready()).rejects.toMatchObject(linked)
    await expect(journalRuntime(`${file}.other`).ready()).rejects.toThrow('has 2 names (hard links)')
  })

  test('is refused under the name that it was given', async () => {
    const { file, runtime, down } = await open()
    renameSync(file, `${file}.moved`)
    for (const suffix of ['-wal', '-shm']) renameSync(file + suffix, `${file}.moved${suffix}`)
    await expect(journalRuntime(`${file}.moved`).ready()).rejects.toMatchObject(LOCKED)
    expect(await down).toMatchObject({ reason: 'missing' })
    expect(runtime.stats().broker).toMatchObject({ state: 'down' })
  })

  test('is refused as a copy while its original is open, and is opened when that is not', async () => {
    const { file, runtime } = await open()
    await stored(runtime, 'once')
    vacuumInto(file, `${file}.copy`)
    const copy = journalRuntime(`${file}.copy`)
    await expect(copy.ready()).rejects.toMatchObject(LOCKED)
    await expect(copy.ready()).rejects.toThrow('is a copy of a journal that is in use by this process')
    await runtime.stop()
    const later = journalRuntime(`${file}.copy`)
    await later.ready()
    await until(() => later.stats().completed === 1)
  })

  test('of a process that cannot be looked at is refused when that answers, and taken over when it does not', async () => {
    const { file, runtime } = await open()
    await stored(runtime, 'waits')
    // As a process of another machine has it, where the lock does not hold.
    elsewhere(file)
    rmSync(`${file}.lock`)
    await expect(withSettings({ file, answerWithin: 60_000 }).ready()).rejects.toMatchObject({
      code: 'ERR_JOURNAL_LOCKED',
      host: 'elsewhere',
    })
    await runtime.stop()
    elsewhere(file)
    const db = new DatabaseSync(file)
    db.exec("UPDATE runs SET closed = NULL, lock = ''")
    db.close()
    const heir = withSettings({ file, answerWithin: 100 })
    await heir.ready()
    await until(() => heir.stats().completed === 1)
  })
})

describe('a process whose file was taken over', () => {
  test('says so of each job, ends what runs, and takes none any more', async () => {
    const { file, runtime, down } = await open({ threads: 2 })
    const started = new Promise((resolve) => runtime.on('job:started', resolve))
    runtime.resume()
    const runs = runtime.enqueue(waits)
    await started
    const interrupted: unknown[] = []
    runtime.on('job:interrupted', ({ error }) => interrupted.push(error))
    const late = runtime.enqueue(echo, 'later', { delay: 3_600_000 })
    await late.stored
    const db = new DatabaseSync(file, { timeout: 5000 })
    db.exec('UPDATE runs SET closed = 1')
    db.close()
    const lost = { state: 'cancelled', error: { code: 'ERR_LEASE_LOST' } }
    expect(await down).toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE', reason: 'taken' })
    expect(await late.settled).toMatchObject(lost)
    expect(await runs.settled).toMatchObject(lost)
    expect(interrupted).toMatchObject([{ code: 'ERR_LEASE_LOST' }])
    expect(() => runtime.enqueue(echo, 1)).toThrow(expect.objectContaining({ reason: 'taken', status: 503 }))
    await expect(runtime.counts()).rejects.toMatchObject({ reason: 'taken' })
    expect(await runtime.stop()).toMatchObject({ left: [] })
  })
})

describe('a file that is gone', () => {
  const ways = {
    removed: { reason: 'missing', how: (file: string) => rmSync(file) },
    'removed with all beside it': {
      reason: 'missing',
      how: (file: string) => {
        for (const suffix of ['', ...BESIDE]) rmSync(file + suffix)
      },
    },
    renamed: { reason: 'missing', how: (file: string) => renameSync(file, `${file}.old`) },
    replaced: {
      reason: 'replaced',
      how: (file: string) => {
        copyFileSync(file, `${file}.new`)
        renameSync(`${file}.new`, file)
      },
    },
    'cut to nothing': { reason: 'replaced', how: (file: string) => truncateSync(file) },
  }

  test.each(Object.entries(ways))(
    '(%s) stores nothing more, and everybody hears of it',
    async (_name, way) => {
      const { file, runtime, down } = await open()
      const before = await stored(runtime, 'before')
      way.how(file)
      // Before any look: the commit itself finds that nobody will have it.
      const job = runtime.enqueue(echo, 'after')
      const gone = { code: 'ERR_BROKER_UNAVAILABLE', reason: way.reason, status: 503 }
      await expect(job.stored).rejects.toMatchObject(gone)
      expect(await down).toMatchObject(gone)
      expect(runtime.stats().broker).toMatchObject({ state: 'down' })
      await until(() => refuses(runtime))
      const lost = new Promise((resolve) => runtime.on('job:lost', resolve))
      expect(await runtime.stop({ timeout: 0 })).toMatchObject({ left: [], lost: [{ id: before.id }] })
      expect(await lost).toMatchObject({ job: { id: before.id }, error: { code: 'ERR_JOB_LOST' } })
      expect(await before.settled).toMatchObject({ state: 'cancelled', error: { code: 'ERR_JOB_LOST' } })
    },
  )

  test('is noticed also when nothing is written, and used again when it is back', async () => {
    const { file, runtime, down } = await open()
    const before = await stored(runtime, 'before')
    const up = new Promise((resolve) => runtime.on('broker:up', resolve))
    renameSync(file, `${file}.away`)
    expect(await down).toMatchObject({ reason: 'missing' })
    renameSync(`${file}.away`, file)
    await up
    runtime.resume()
    expect(await before.result()).toBe('before')
    expect(await runtime.enqueue(echo, 'after').result()).toBe('after')
  })

  test('(written over by a backup) is noticed, left as it was restored, and opened by the next process', async () => {
    const { file, runtime, down } = await open()
    const before = await stored(runtime, 'before')
    vacuumInto(file, `${file}.backup`)
    await stored(runtime, 'after the backup')
    // Until then what was committed stands in the log.
    await until(() => statSync(`${file}-wal`).size === 0)
    // The journal has noted that, once it answers.
    await runtime.counts()
    const backup = readFileSync(`${file}.backup`)
    writeFileSync(file, backup)
    expect(await down).toMatchObject({ reason: 'replaced' })
    await expect(async () => runtime.enqueue(echo, 'late').stored).rejects.toMatchObject({
      reason: 'replaced',
    })
    await runtime.stop({ timeout: 0 })
    expect(readFileSync(file).equals(backup)).toBe(true)
    const next = journalRuntime(file)
    await next.ready()
    await until(() => next.stats().completed === 1)
    expect((await next.jobs()).jobs.map(({ id }) => id)).toEqual([before.id])
  })

  test('is not made anew by the process that had it, also when its thread dies', async () => {
    const link = new ThreadLink()
    const { file, runtime, down } = await open({ link })
    await stored(runtime, 'before')
    for (const suffix of ['', ...BESIDE]) rmSync(file + suffix)
    await link.kill()
    expect(await down).toBeInstanceOf(BrokerUnavailableError)
    await until(() => downReason(runtime) === 'missing')
    await runtime.stop({ timeout: 0 })
    expect(existsSync(file)).toBe(false)
  })
})

describe('the files of a journal', () => {
  test.each([undefined, 0o640])('are made with the permissions %o, whatever the umask', async (mode) => {
    const { file, runtime } = await open(mode === undefined ? {} : { mode })
    await stored(runtime, 'secret')
    for (const suffix of ['', ...BESIDE]) expect(statSync(file + suffix).mode & 0o777).toBe(mode ?? 0o600)
  })

  test('keep the permissions that they have', async () => {
    const file = journalFile()
    writeFileSync(file, '', { mode: 0o644 })
    const { runtime } = await open({ file })
    await stored(runtime, 'readable')
    for (const suffix of ['', '-wal', '-shm']) expect(statSync(file + suffix).mode & 0o777).toBe(0o644)
  })
})

type Opened = { link?: ThreadLink; threads?: number } & Partial<SqliteSettings>

function withSettings({ link = new ThreadLink(), threads = 1, file = journalFile(), ...more }: Opened) {
  const base = { file, durability: 'process', isShared: false, window: 64, retention: { dead: 1e9 } } as const
  const broker = new SqliteBroker({ ...base, ...more }, link)
  const runtime = createRuntime({ tasks: [echo, waits], broker, pool: { threads }, log: false })
  onTestFinished(async () => void (await runtime.stop({ timeout: 0 })))
  return runtime
}

/** A runtime that is ready and starts nothing; `down` is why its journal cannot be used any more. */
async function open(given: Opened = {}) {
  const file = given.file ?? journalFile()
  const runtime = withSettings({ ...given, file })
  const down = new Promise<Error>((resolve) => runtime.on('broker:down', ({ error }) => resolve(error)))
  await runtime.ready()
  runtime.pause()
  return { file, runtime, down }
}

async function stored(runtime: ReturnType<typeof withSettings>, what: string) {
  const job = runtime.enqueue(echo, what)
  await job.stored
  return job
}

function downReason(runtime: ReturnType<typeof withSettings>): unknown {
  try {
    runtime.enqueue(echo, 1)
    return undefined
  } catch (error) {
    return Reflect.get(error as object, 'reason')
  }
}

function refuses(runtime: ReturnType<typeof withSettings>): boolean {
  return downReason(runtime) !== undefined
}

function vacuumInto(file: string, copy: string): void {
  const db = new DatabaseSync(file)
  db.prepare('VACUUM INTO ?').run(copy)
  db.close()
}

function elsewhere(file: string): void {
  const db = new DatabaseSync(file, { timeout: 5000 })
  db.exec("UPDATE runs SET host = 'elsewhere', boot = 'another', pid = 1, started = '1'")
  db.close()
}
