import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { sqliteBroker } from '../../src/brokers/sqlite.ts'
import { type Broker, defineTask, memoryBroker, OptionsInvalidError } from '../../src/index.ts'
import { startThreads } from '../kit/threads.ts'

const handler = { module: new URL('../fixtures/handlers/history.ts', import.meta.url), export: 'flaky' }
const work = defineTask({ name: 'work', payload: z.unknown(), handler })

function sqlite(): Broker {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-detail-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return sqliteBroker({ file: join(folder, 'journal.sqlite'), durability: 'process' })
}

test.each([
  ['memory', memoryBroker],
  ['sqlite', sqlite],
])(
  'a job with the %s broker says what it was given, why it waits, who is with it and what has happened',
  async (_name, make) => {
    const runtime = startThreads([work], { broker: make() })
    const done = runtime.enqueue(work, 0)
    await done.settled
    runtime.pause()
    const first = runtime.enqueue(work, { user: 'u1', password: 'hunter2' }, { key: 'k' })
    const second = runtime.enqueue(work, 'x'.repeat(2000), { key: 'k' })
    const late = runtime.enqueue(work, 0, { delay: 3_600_000 })
    await Promise.all([first.stored, second.stored, late.stored])

    const told = await runtime.job(first.id, { payload: true, detail: true, most: 1000 })
    expect(told).toMatchObject({
      payload: { user: 'u1' },
      waits: 'pool `default` is paused',
      neighbours: { key: [{ id: second.id }] },
      timeline: [{ what: 'accepted' }, { what: 'ready' }],
    })
    expect(told).not.toHaveProperty('cut')
    expect(JSON.stringify(told)).not.toContain('hunter2')
    expect(await runtime.job(first.id, { payload: true, reveal: true })).toMatchObject({
      payload: { password: 'hunter2' },
    })
    const behind = await runtime.job(second.id, { payload: true, detail: true, most: 1000 })
    expect(behind).toMatchObject({
      waits: `its key \`k\` is held by job ${first.id}, which is available`,
      cut: { payload: expect.any(Number) },
    })
    expect(behind).not.toHaveProperty('payload')
    expect((await runtime.job(second.id, { payload: true }))?.payload).toHaveLength(2000)
    expect(await runtime.job(late.id, { detail: true })).toMatchObject({
      waits: 'it is due in 60 min',
      timeline: [{ what: 'accepted' }, { what: 'due' }],
      neighbours: {},
    })
    const over = await runtime.job(done.id, { detail: true })
    expect(over?.timeline).toMatchObject([
      { what: 'accepted' },
      { what: 'attempt', attempt: 1, outcome: 'completed', until: expect.any(Number) },
      { what: 'ended', state: 'completed' },
    ])
    expect(over).not.toHaveProperty('waits')
    expect(await runtime.job(done.id)).not.toHaveProperty('timeline')
    await expect(runtime.job(done.id, { logz: true } as never)).rejects.toBeInstanceOf(OptionsInvalidError)
  },
)
