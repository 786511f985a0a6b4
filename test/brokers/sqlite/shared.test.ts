/** Several processes on one file: who runs a job, who hears of its end, and what holds over all of them. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Job } from '../../../src/index.ts'
import { GatedLink } from './gated-link.fixture.ts'
import { journalFile } from './journal.fixture.ts'
import { sharing, until } from './shared.fixture.ts'
import { alone, echo, fails, spans, waits } from './tasks.fixture.ts'

/** A process that adds and is paused, so that its jobs run in the other. */
async function adderAndWorker(given = {}) {
  const file = journalFile()
  const adds = await sharing(file, given)
  adds.pause()
  return { file, adds, works: await sharing(file) }
}

/** Resolves once the one thread of a process runs a job without end. */
async function busy(runtime: Awaited<ReturnType<typeof sharing>>): Promise<void> {
  const started = new Promise((resolve) => runtime.on('job:started', resolve))
  runtime.enqueue(waits)
  await started
}

/** Resolves once a job is in the file of which this holds. */
async function row(file: string, condition: string): Promise<void> {
  const outside = new DatabaseSync(file, { readOnly: true, timeout: 60_000 })
  const found = outside.prepare(`SELECT 1 FROM jobs WHERE ${condition}`)
  await until(() => found.get() !== undefined)
  outside.close()
}

describe('the end of a job that another process has run', () => {
  test('is told once, also when it is asked for while it is told', async () => {
    const link = new GatedLink()
    const { adds, works } = await adderAndWorker({ link })
    const jobs = [1, 2, 3].map((n) => adds.enqueue(echo, n))
    await until(() => adds.stats().completed === 3)
    link.shut()
    const settled = jobs.map((job) => job.settled)
    // Whatever another process writes has this one look what is new.
    const said = link.said()
    await works.enqueue(echo, 5).settled
    await said
    link.open()
    expect((await Promise.all(settled)).map(({ result }) => result)).toEqual([1, 2, 3])
    expect(adds.stats()).toMatchObject({ completed: 3, pending: 0 })
  })

  test('is told after another attempt, and counted by nobody twice', async () => {
    const { adds, works } = await adderAndWorker()
    const job = adds.enqueue(fails)
    expect(await job.settled).toMatchObject({ state: 'dead', attempts: 2 })
    expect(adds.stats()).toMatchObject({ dead: 1, pending: 0 })
    await until(() => works.stats().dead === 1)
    expect(works.stats().pending).toBe(0)
  })

  test('is told also when the other keeps no finished jobs', async () => {
    const file = journalFile()
    const adds = await sharing(file)
    adds.pause()
    await sharing(file, { retention: { count: 0, dead: 0 } })
    expect(await adds.enqueue(echo, 'kept').result()).toBe('kept')
  })

  test('is told when the job waited too long for its first attempt', async () => {
    const { adds, works } = await adderAndWorker()
    works.pause()
    const job = adds.enqueue(echo, 1, { queueTimeout: 1000 })
    expect(await job.settled).toMatchObject({
      state: 'dead',
      error: expect.objectContaining({ code: 'ERR_QUEUE_TIMEOUT' }),
    })
    await until(() => adds.stats().pending === 0 && works.stats().pending === 0)
  })

  test.each([
    { how: 'had room for it', key: undefined },
    { how: 'ended the job before it in the line of its key', key: 'k' },
  ])('is told when its queueTimeout had passed before another process $how', async ({ key }) => {
    const file = journalFile()
    const [link, other] = [new GatedLink(), new GatedLink()]
    const adds = await sharing(file, { window: 1, link })
    const works = await sharing(file, { window: 2, link: other })
    for (const runtime of [adds, works]) await busy(runtime)
    const options = key === undefined ? {} : { key }
    const first = works.enqueue(echo, 'fills the window', options)
    await first.stored
    // A journal says that the job's time is over, and its event loop hears of that only once the other has taken the job.
    for (const gate of [link, other]) gate.shutAtExpiry()
    const job = adds.enqueue(echo, 1, { ...options, queueTimeout: 20 })
    await row(file, 'expires < 0')
    expect(first.cancel()).toBe(true)
    await row(file, 'expires IS NOT NULL AND owner = 2')
    for (const gate of [link, other]) gate.open()
    expect(await job.settled).toMatchObject({
      state: 'dead',
      error: expect.objectContaining({ code: 'ERR_QUEUE_TIMEOUT' }),
    })
    await until(() => adds.stats().pending === 1 && works.stats().pending === 1)
  })

  test('is told when it was written before the journal’s thread died, and nobody could say so', async () => {
    const link = new GatedLink()
    const file = journalFile()
    const only = await sharing(file, { link })
    await only.enqueue(echo, 'warm').settled
    const started = new Promise((resolve) => only.on('job:started', resolve))
    const job = only.enqueue(echo, 'once')
    await job.stored
    await started
    link.loseReplies()
    const outside = new DatabaseSync(file, { readOnly: true, timeout: 60_000 })
    const ended = outside.prepare('SELECT count(*) AS jobs FROM jobs WHERE finished IS NOT NULL')
    await until(() => ended.get()?.['jobs'] === 2)
    outside.close()
    await link.kill()
    expect(await job.settled).toMatchObject({ state: 'completed', attempts: 1, result: 'once' })
    expect(only.stats()).toMatchObject({ completed: 2, pending: 0 })
  })
})

describe('a job is cancelled from one process', () => {
  test('while it waits in another', async () => {
    const { file, adds, works } = await adderAndWorker()
    await busy(works)
    const job = adds.enqueue(echo, 1)
    await job.stored
    await row(file, 'state = 3 AND owner = 2')
    expect(job.cancel('changed my mind')).toBe(true)
    const { state, error } = await job.settled
    expect([state, error?.cause]).toEqual(['cancelled', 'changed my mind'])
    await until(() => works.stats().pending === 1)
  })

  test('while it runs in another, whose attempt is aborted', async () => {
    const { adds, works } = await adderAndWorker()
    const started = new Promise((resolve) => works.on('job:started', resolve))
    const job = adds.enqueue(waits)
    await started
    expect(await adds.cancel(job.id, 'enough')).toBe(true)
    expect((await job.settled).state).toBe('cancelled')
    expect((await works.job(job.id))?.history).toMatchObject([{ outcome: 'cancelled' }])
    await until(() => works.stats().pending === 0)
    expect(adds.stats().cancelled).toBe(1)
  })

  test('that has not added it and does not have it', async () => {
    const { adds, works } = await adderAndWorker()
    adds.resume()
    await busy(adds)
    const [first] = (await adds.jobs()).jobs
    expect(await works.cancel(first?.id ?? '')).toBe(true)
    await until(() => adds.stats().cancelled === 1)
    expect(adds.stats().pending).toBe(0)
  })

  test('while nobody has it', async () => {
    const { adds, works } = await adderAndWorker()
    works.pause()
    const job = adds.enqueue(echo, 1, { delay: 3_600_000 })
    await job.stored
    expect(await works.cancel(job.id)).toBe(true)
    expect((await job.settled).state).toBe('cancelled')
    expect(works.stats().pending).toBe(0)
  })

  test('while the process that runs it cannot hear, and is killed: it is not tried again', async () => {
    const file = journalFile()
    const program = new URL('./shared-process.fixture.ts', import.meta.url).pathname
    const child = spawn(process.execPath, [program, file, 'waits'], { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    const [said] = (await once(child.stdout, 'data')) as [Buffer]
    const id = String(said).trim()
    child.kill('SIGSTOP')
    const runtime = await sharing(file)
    expect(await runtime.cancel(id)).toBe(true)
    // The request is written before anything that is asked later is answered.
    await runtime.counts()
    child.kill('SIGKILL')
    await until(async () => (await runtime.job(id))?.state === 'cancelled')
  })

  test('and is over before that is heard: the end that it has is told', async () => {
    const { adds } = await adderAndWorker()
    const job = adds.enqueue(echo, 'done')
    await until(async () => (await adds.counts()).completed === 1)
    job.cancel()
    expect(await job.settled).toMatchObject({ state: 'completed', result: 'done' })
  })
})

describe('over all processes of a file', () => {
  test('no more jobs of a task run at a time than its concurrency says', async () => {
    const { adds, works } = await adderAndWorker()
    adds.resume()
    const jobs = [adds, works].flatMap((runtime) => Array.from({ length: 15 }, () => runtime.enqueue(alone)))
    expect(overlaps(await ranOf(jobs))).toBe(0)
  })

  test('the jobs of a key run one at a time, in the order added', async () => {
    const file = journalFile()
    const [adds, works] = [await sharing(file, { threads: 2 }), await sharing(file, { threads: 2 })]
    const jobs: Job[] = []
    for (let n = 0; n < 20; n++) {
      const job = (n % 2 === 0 ? adds : works).enqueue(spans, undefined, { key: 'same' })
      await job.stored
      jobs.push(job)
    }
    const ran = await ranOf(jobs)
    expect(overlaps(ran)).toBe(0)
    expect(ran).toEqual(ran.toSorted(([a], [b]) => a - b))
  })

  test('a job that is equal to a pending one of another process does not run, and ends as that one does', async () => {
    const { adds, works } = await adderAndWorker()
    works.pause()
    const first = adds.enqueue(spans, undefined, { unique: 'same' })
    await first.stored
    const second = works.enqueue(spans, undefined, { unique: 'same' })
    await second.stored
    expect(second.state).toBe('waiting')
    works.resume()
    const [one, other] = await Promise.all([first.settled, second.settled])
    expect(other).toEqual(one)
    expect((await works.job(second.id))?.history).toEqual([])
    expect((await works.job(second.id))?.reason).toBe('an equal job of another process ran in its place')
    const third = works.enqueue(spans, undefined, { unique: 'same' })
    expect((await third.settled).result).not.toEqual(one.result)
  })

  test('a job that is equal to a cancelled one is cancelled with it', async () => {
    const { adds, works } = await adderAndWorker()
    const [first] = [adds.enqueue(echo, 1, { unique: 'same', delay: 3_600_000 })]
    await first.stored
    const second = works.enqueue(echo, 1, { unique: 'same' })
    await second.stored
    first.cancel()
    expect((await second.settled).state).toBe('cancelled')
    expect(works.stats().pending).toBe(0)
  })

  test('a job that is equal to one which holds its key beyond its end ends at once, as that one has', async () => {
    const { adds, works } = await adderAndWorker()
    const unique = { key: 'same', for: 3_600_000 }
    const first = await adds.enqueue(spans, undefined, { unique }).settled
    expect(await works.enqueue(spans, undefined, { unique }).settled).toEqual(first)
  })
})

describe('a schedule of a shared file', () => {
  const HOUR = 3_600_000
  const every = async (runtime: Awaited<ReturnType<typeof sharing>>) =>
    (await runtime.schedules()).map(({ id, every: interval }) => [id, interval])

  test('that one process takes away is gone for all, and is not written again', async () => {
    const file = journalFile()
    const [one, other] = [await sharing(file), await sharing(file)]
    one.schedule('x', echo, 1, { every: 20 })
    await until(() => one.stats().completed + other.stats().completed >= 2)
    expect(await other.unschedule('x')).toBe(true)
    expect([await every(one), await every(other)]).toEqual([[], []])
    await one.stop()
    await other.stop()
    expect(await every(await sharing(file))).toEqual([])
  })

  test('that two processes set differently has the rule that was set last, and the others follow', async () => {
    const file = journalFile()
    const [one, other] = [await sharing(file), await sharing(file)]
    one.schedule('x', echo, 1, { every: HOUR })
    expect(await every(one)).toEqual([['x', HOUR]])
    other.schedule('x', echo, 1, { every: 20 })
    expect(await every(other)).toEqual([['x', 20]])
    await other.stop()
    // Nobody has told this one but the file.
    await until(() => one.stats().completed >= 2)
    expect(await every(one)).toEqual([['x', 20]])
  })

  test('is run by one process at a time, and goes on when one that had its turn stands still or stops', async () => {
    const file = journalFile()
    const [one, other] = [await sharing(file), await sharing(file)]
    for (const runtime of [one, other]) runtime.schedule('x', echo, 1, { every: 20 })
    await until(() => one.stats().completed + other.stats().completed >= 6)
    await one.stop()
    const before = other.stats().completed
    await until(() => other.stats().completed >= before + 3)
    await other.unschedule('x')
    // A run that two processes had added would have a second job, which does not run.
    const { jobs } = await other.jobs({ state: ['completed', 'skipped', 'cancelled'] })
    const ran = await Promise.all(jobs.map(async ({ id }) => (await other.job(id))?.history?.length))
    expect(ran.every((attempts) => attempts === 1)).toBe(true)
  })
})

describe('a process that others took for dead', () => {
  test('goes on with a place among them', async () => {
    const { file, adds } = await adderAndWorker()
    const other = new DatabaseSync(file)
    other.exec('PRAGMA busy_timeout = 5000; UPDATE runs SET closed = 1 WHERE run = 1')
    other.close()
    // The other runs what this one adds, and has to tell it.
    expect(await adds.enqueue(echo, 1).result()).toBe(1)
    expect(adds.stats()).toMatchObject({ completed: 1, pending: 0 })
  })
})

type Span = readonly [began: number, ended: number]

async function ranOf(jobs: readonly Job[]): Promise<readonly Span[]> {
  return Promise.all(jobs.map((job) => job.result() as Promise<Span>))
}

/** How many began before one that had begun earlier was over. */
function overlaps(ran: readonly Span[]): number {
  const inOrder = ran.toSorted(([a], [b]) => a - b)
  return inOrder.filter(([began], at) => at > 0 && began < (inOrder[at - 1]?.[1] ?? 0)).length
}
