/** What goes wrong with a file, and what is said of it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ThreadLink } from '../../../src/brokers/sqlite/link.ts'
import type { SqliteSettings } from '../../../src/brokers/sqlite/settings.ts'
import { SqliteBroker } from '../../../src/brokers/sqlite/sqlite-broker.ts'
import { createRuntime, type Runtime } from '../../../src/index.ts'
import { STATES } from '../../../src/rules/journal-protocol.ts'
import { echo, fails, journalFile, journalRuntime } from './journal.fixture.ts'

describe('a file that cannot be used', () => {
  test('because another process has it is refused with that process named', async () => {
    const file = journalFile()
    const owner = journalRuntime(file)
    await owner.ready()
    const second = journalRuntime(file)
    await expect(second.ready()).rejects.toMatchObject({ code: 'ERR_JOURNAL_LOCKED', pid: process.pid })
    await expect(second.ready()).rejects.toThrow(
      `in use by this process (${process.pid}): another runtime has it`,
    )
  })

  test('because a child has it is refused with the child named', async () => {
    const file = journalFile()
    const program = new URL('./shared-process.fixture.ts', import.meta.url).pathname
    const child = spawn(process.execPath, [program, file], { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    await once(child.stdout, 'data')
    await expect(journalRuntime(file).ready()).rejects.toThrow(`in use by process ${child.pid} on `)
  })

  test('because its folder is missing is refused', async () => {
    const runtime = journalRuntime(join(dirname(journalFile()), 'no', 'journal.sqlite'))
    await expect(runtime.ready()).rejects.toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE', reason: 'missing' })
  })

  test('because it is no database is refused', async () => {
    const file = journalFile()
    writeFileSync(file, 'x'.repeat(8192))
    await expect(journalRuntime(file).ready()).rejects.toMatchObject({ code: 'ERR_JOURNAL_CORRUPT' })
  })

  test('because what stands behind its first page is damaged is refused', async () => {
    const file = journalFile()
    await stopped(file, 500)
    const whole = readFileSync(file)
    writeFileSync(file, Buffer.concat([whole.subarray(0, 4096), Buffer.alloc(whole.length - 4096, 0xff)]))
    await expect(journalRuntime(file).ready()).rejects.toMatchObject({ code: 'ERR_JOURNAL_CORRUPT' })
  })

  test('because it is somebody else’s database is refused', async () => {
    const file = journalFile()
    const other = new DatabaseSync(file)
    other.exec('CREATE TABLE users (name TEXT)')
    other.close()
    await expect(journalRuntime(file).ready()).rejects.toMatchObject({ code: 'ERR_JOURNAL_SCHEMA' })
  })

  test('because a newer release has written it is refused', async () => {
    const file = journalFile()
    await stopped(file)
    const newer = new DatabaseSync(file)
    newer.exec('PRAGMA user_version = 999')
    newer.close()
    await expect(journalRuntime(file).ready()).rejects.toThrow('newer release')
  })

  test('because it was cut short is refused, or opened with what is left, but never crashes the process', async () => {
    const file = journalFile()
    await stopped(file, 500)
    truncateSync(file, Math.floor(statSync(file).size / 2))
    const runtime = journalRuntime(file)
    const opened = await runtime.ready().then(
      () => 'opened',
      (error: { code: string }) => error.code,
    )
    expect(['opened', 'ERR_JOURNAL_CORRUPT']).toContain(opened)
  })

  test('rejects what was to be stored in it, and refuses further jobs with 503', async () => {
    const runtime = journalRuntime(join(dirname(journalFile()), 'no', 'journal.sqlite'))
    const job = runtime.enqueue(echo, 1)
    await expect(job.stored).rejects.toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE', status: 503 })
    expect((await job.settled).state).toBe('cancelled')
    expect(() => runtime.enqueue(echo, 2)).toThrow(expect.objectContaining({ status: 503 }))
  })
})

describe('a disk that is full', () => {
  test('rejects what it cannot take, keeps what it took, and is used again once there is room', async () => {
    const runtime = withSettings({ maxPages: 200 })
    await runtime.ready()
    const before = runtime.enqueue(echo, 'before')
    await before.stored
    const refused = runtime.enqueue(echo, 'x'.repeat(2_000_000))
    await expect(refused.stored).rejects.toMatchObject({ reason: 'full', status: 503 })
    expect((await refused.settled).state).toBe('cancelled')
    expect(() => runtime.enqueue(echo, 'at once')).toThrow(expect.objectContaining({ reason: 'full' }))
    await until(() => accepted(() => runtime.enqueue(echo, 'after').stored))
    expect(await before.result()).toBe('before')
  })
})

describe('a final write that cannot be made', () => {
  test('is tried again until it is made, and the job is not run again', async () => {
    const file = journalFile()
    const runtime = withSettings({ file, patience: 20 })
    await runtime.ready()
    runtime.pause()
    const job = runtime.enqueue(echo, 'once')
    await job.stored
    const other = new DatabaseSync(file)
    other.exec('BEGIN IMMEDIATE')
    runtime.resume()
    const settled = job.settled
    await until(async () => !(await accepted(async () => void runtime.enqueue(echo, 'meanwhile'))))
    other.exec('COMMIT')
    other.close()
    expect(await settled).toMatchObject({ state: 'completed', attempts: 1 })
    await until(() => accepted(() => runtime.enqueue(echo, 'after').stored))
    expect((await runtime.job(job.id))?.history).toHaveLength(1)
  })
})

describe('a stop while another program writes to the file', () => {
  /** A job that waits to be written, and the program that it waits for. */
  const waiting = async () => {
    const file = journalFile()
    const runtime = withSettings({ file, patience: 600_000 })
    await runtime.ready()
    const other = new DatabaseSync(file)
    onTestFinished(() => other.close())
    other.exec('BEGIN IMMEDIATE')
    const job = runtime.enqueue(echo, 'late')
    const stored = job.stored.then(
      () => 'stored',
      (error: unknown) => Reflect.get(error as object, 'code'),
    )
    return { runtime, other, job, stored }
  }

  test('ends at its deadline, and names as lost what was not written', async () => {
    const { runtime, job, stored } = await waiting()
    expect(await runtime.stop({ timeout: 0 })).toMatchObject({
      lost: [{ id: job.id, name: 'echo' }],
      left: [],
    })
    expect(await stored).toBe('ERR_BROKER_UNAVAILABLE')
  })

  test('ends once the other has written, and leaves what came too late to run', async () => {
    const { runtime, other, job, stored } = await waiting()
    const report = runtime.stop({ timeout: 600_000 })
    other.exec('COMMIT')
    expect(await stored).toBe('stored')
    expect(await report).toMatchObject({ lost: [], left: [{ id: job.id, name: 'echo' }] })
  })
})

describe('cancel()', () => {
  test('resolves once the file has it', async () => {
    const file = journalFile()
    const runtime = journalRuntime(file)
    const job = runtime.enqueue(echo, 'later', { delay: 600_000 })
    await job.stored
    const outside = new DatabaseSync(file, { readOnly: true, timeout: 60_000 })
    onTestFinished(() => outside.close())
    expect(await runtime.cancel(job.id)).toBe(true)
    expect(STATES[Number(outside.prepare('SELECT state FROM jobs').get()?.['state'])]).toBe('cancelled')
  })
})

describe('revive()', () => {
  test('resolves once the file has it', async () => {
    const file = journalFile()
    const runtime = journalRuntime(file)
    runtime.on('job:started', () => runtime.pause())
    const job = runtime.enqueue(fails, undefined, { maxAttempts: 1 })
    expect((await job.settled).state).toBe('dead')
    const outside = new DatabaseSync(file, { readOnly: true, timeout: 60_000 })
    onTestFinished(() => outside.close())
    const state = (): unknown => outside.prepare('SELECT state FROM jobs').get()?.['state']
    expect(STATES[Number(state())]).toBe('dead')
    expect(await runtime.revive(job.id)).toBe(true)
    expect(STATES[Number(state())]).toBe('available')
  })
})

describe('a journal thread that cannot be made', () => {
  test('rejects ready() with why, and takes nothing down', async () => {
    const link = new ThreadLink()
    link.start = () => {
      throw new Error('no memory for a thread')
    }
    const runtime = withSettings({}, link)
    await expect(runtime.ready()).rejects.toMatchObject({
      code: 'ERR_BROKER_UNAVAILABLE',
      reason: 'thread',
      message: expect.stringContaining('could not be started (no memory for a thread)'),
    })
    await runtime.stop()
  })

  test('after one has died is tried again until there is one', async () => {
    const link = new ThreadLink()
    const start = link.start.bind(link)
    let refusals = 3
    const runtime = withSettings({}, link)
    await runtime.ready()
    link.start = (setup, host) => {
      if (refusals-- > 0) throw new Error('no memory for a thread')
      start(setup, host)
    }
    const job = runtime.enqueue(echo, 'kept')
    await link.kill()
    expect(await job.result()).toBe('kept')
    expect(refusals).toBeLessThan(0)
  })

  test('while the runtime stops ends the stop', async () => {
    const link = new ThreadLink()
    const runtime = withSettings({}, link)
    await runtime.ready()
    link.start = () => {
      throw new Error('no memory for a thread')
    }
    await link.kill()
    expect(await runtime.stop({ timeout: 0 })).toMatchObject({ lost: [] })
  })
})

describe('a journal thread', () => {
  test('does not preload what the environment tells threads to preload', async () => {
    process.env['NODE_OPTIONS'] = '--import=data:text/javascript,process.exit(9)'
    onTestFinished(() => void delete process.env['NODE_OPTIONS'])
    const link = new ThreadLink()
    const told = Promise.withResolvers<unknown>()
    const real = link.start.bind(link)
    link.start = (setup, host) =>
      real(setup, {
        receive(message) {
          told.resolve(message[0])
          host.receive(message)
        },
        ended(error) {
          told.reject(error ?? new Error('it ended'))
          host.ended(error)
        },
      })
    withSettings({}, link)
    expect(await told.promise).toBe(0)
  })
})

describe('a journal thread that dies', () => {
  test('is started again, and nothing that was said to it is lost', async () => {
    const file = journalFile()
    const link = new ThreadLink()
    const runtime = withSettings({ file, window: 8 }, link)
    await runtime.ready()
    const jobs = Array.from({ length: 100 }, (_, n) => runtime.enqueue(echo, n))
    await jobs[0]?.stored
    await link.kill()
    const results = await Promise.all(jobs.map((job) => job.result()))
    expect(results).toEqual(jobs.map((_, n) => n))
    const after = runtime.enqueue(echo, 'after')
    expect(await after.result()).toBe('after')
  })

  test('again and again refuses jobs until there is another', async () => {
    const link = new ThreadLink()
    const runtime = withSettings({}, link)
    await runtime.ready()
    for (let death = 0; death < 3; death++) {
      const job = runtime.enqueue(echo, death)
      await job.stored
      await link.kill()
      const refusal = { code: 'ERR_BROKER_UNAVAILABLE', reason: 'thread', status: 503 }
      expect(() => runtime.enqueue(echo, 'meanwhile')).toThrow(expect.objectContaining(refusal))
      expect(await job.result()).toBe(death)
      await until(() => accepted(() => runtime.enqueue(echo, 'after').stored))
    }
  })
})

describe('a file that is shared', () => {
  test('is refused to who does not share it', async () => {
    const file = journalFile()
    await journalRuntime(file, { broker: { shared: true } }).ready()
    await expect(journalRuntime(file).ready()).rejects.toMatchObject({ code: 'ERR_JOURNAL_LOCKED' })
  })

  test('lets each of its processes run what another has added, once', async () => {
    const file = journalFile()
    const adds = journalRuntime(file, { broker: { shared: true } })
    const works = journalRuntime(file, { broker: { shared: true } })
    await Promise.all([adds.ready(), works.ready()])
    adds.pause()
    // More than one window holds: the rest is for whoever is free.
    const jobs = Array.from({ length: 200 }, (_, n) => adds.enqueue(echo, n))
    await until(async () => works.stats().completed >= 200 - 64)
    adds.resume()
    const ends = await Promise.all(jobs.map((job) => job.settled))
    expect(ends.map(({ result }) => result)).toEqual(jobs.map((_, n) => n))
    // Each end is told in the process that added the job, wherever it ran, and once.
    await until(async () => adds.stats().completed >= 200)
    expect([adds.stats().completed, adds.stats().pending]).toEqual([200, 0])
  })

  test('has the jobs of a process that is killed taken over without waiting for its silence', async () => {
    const file = journalFile()
    const program = new URL('./shared-process.fixture.ts', import.meta.url).pathname
    const child = spawn(process.execPath, [program, file], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    const runtime = journalRuntime(file, { broker: { shared: true } })
    await runtime.ready()
    child.kill('SIGKILL')
    await once(child, 'exit')
    // Were it taken for the process of another machine, its silence would have to last for half a minute.
    await until(async () => (await runtime.counts()).completed === 20)
  })
})

/** A runtime over a journal with settings that are not for users. */
function withSettings(given: Partial<SqliteSettings>, link = new ThreadLink()): Runtime<typeof echo> {
  const base = {
    file: given.file ?? journalFile(),
    durability: 'process',
    isShared: false,
    window: 64,
  } as const
  const broker = new SqliteBroker({ ...base, retention: { dead: 1e9 }, ...given }, link)
  const runtime = createRuntime({ tasks: [echo], broker, pool: { threads: 1 }, log: false })
  onTestFinished(async () => void (await runtime.stop({ timeout: 0 })))
  return runtime
}

/** A journal that has held jobs and was closed. */
async function stopped(file: string, jobs = 1): Promise<void> {
  const runtime = journalRuntime(file)
  runtime.pause()
  await Promise.all(Array.from({ length: jobs }, (_, n) => runtime.enqueue(echo, `job ${n}`).stored))
  await runtime.stop()
}

async function accepted(add: () => Promise<void>): Promise<boolean> {
  try {
    await add()
    return true
  } catch {
    return false
  }
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise(setImmediate)
}
