/** Several processes on one file. Each runtime here stands for one. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { ThreadLink } from '../../../src/brokers/sqlite/link.ts'
import { SqliteBroker } from '../../../src/brokers/sqlite/sqlite-broker.ts'
import { createRuntime, type Runtime, type RuntimeOptions } from '../../../src/index.ts'
import { GatedLink } from './gated-link.fixture.ts'
import { journalFile } from './journal.fixture.ts'
import { echo } from './tasks.fixture.ts'

describe('the end of a job that another process has run', () => {
  test('is told once, also when it is asked for while it is told', async () => {
    const file = journalFile()
    const link = new GatedLink()
    const adds = shared(file, { link, window: 1 })
    await adds.ready()
    adds.pause()
    const jobs = [1, 2, 3, 4].map((n) => adds.enqueue(echo, n))
    await Promise.all(jobs.map((job) => job.stored))
    const works = shared(file)
    await works.ready()
    const ranElsewhere = works.stats().completed
    await until(() => adds.stats().completed >= 2 && works.stats().completed > ranElsewhere)
    const { completed, pending } = adds.stats()
    link.shut()
    const settled = jobs.map((job) => job.settled)
    // Whatever another process writes has this one look what is new.
    const said = link.said()
    await works.enqueue(echo, 5).settled
    await said
    expect(adds.stats()).toMatchObject({ completed, pending })
    link.open()
    adds.resume()
    expect((await Promise.all(settled)).map(({ result }) => result)).toEqual([1, 2, 3, 4])
    expect(adds.stats()).toMatchObject({ completed: 4, pending: 0 })
  })
})

type Options = Partial<Omit<RuntimeOptions, 'broker' | 'tasks'>> & { link?: ThreadLink; window?: number }

/** A process of the file; stopped after the test if it has not been before. */
function shared(file: string, { link, window = 64, ...options }: Options = {}): Runtime<typeof echo> {
  const settings = { file, durability: 'process', isShared: true, window, retention: { dead: 1e9 } } as const
  const broker = new SqliteBroker(settings, link ?? new ThreadLink())
  const runtime = createRuntime({ tasks: [echo], broker, pool: { threads: 1 }, log: false, ...options })
  onTestFinished(async () => void (await runtime.stop({ timeout: 0 })))
  return runtime
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise(setImmediate)
}
