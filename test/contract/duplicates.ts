/** What a duplicate of a unique job has a say in, whatever the broker. */
import { expect, test } from 'vitest'
import type { Broker } from '../../src/brokers/port/broker.ts'
import type { Batch, BatchOptions } from '../../src/engine/batch.ts'
import type { ResponseFacts } from '../../src/words/job.ts'
import { gated } from '../fixtures/http-tasks.ts'
import { gate, nextEvent } from '../kit/jobs.ts'
import { isoTask, type LooseRuntime, startThreads } from '../kit/threads.ts'

const tasks = [gated, isoTask('misbehave', 'ok')]
const unique = { unique: 'ada' } as const
const hour = 3_600_000

async function start(broker: Broker) {
  const runtime = startThreads(tasks, { broker, pool: { threads: 2 } })
  const order: string[] = []
  const names = new Map<string, string>()
  runtime.on('job:completed', ({ job }) => order.push(names.get(job.id) ?? job.id))
  await runtime.ready()
  const named = (name: string, job: { id: string }): void => void names.set(job.id, name)
  return { runtime, order, named }
}

function open(runtime: LooseRuntime, options: Partial<BatchOptions> = {}): Batch {
  return runtime.openBatch({ order: 'sequential', onFailure: 'continue', ...options })
}

function facts(statusCode: number): ResponseFacts {
  return { statusCode, outcome: 'sent', error: undefined, method: 'POST', url: '/' }
}

/** Checks a broker; `make` returns a new one over a new store. To be called within a `describe` that names it. */
export function checkDuplicates(make: () => Broker): void {
  test('of a job whose response fails gets its work done after its own response', async () => {
    const { runtime } = await start(make())
    const [first, second] = [open(runtime), open(runtime)]
    const job = first.add('misbehave.ok', 1, unique)
    expect(second.add('misbehave.ok', 1, unique).id).toBe(job.id)
    first.settle(facts(500))
    expect(job.state).toBe('held')
    second.settle(facts(200))
    expect(await job.settled).toMatchObject({ state: 'completed' })
  })

  test('whose response comes first gets its work done while the response of the first is open', async () => {
    const { runtime } = await start(make())
    const [first, second] = [open(runtime), open(runtime)]
    const job = first.add('misbehave.ok', 1, unique)
    second.add('misbehave.ok', 1, unique)
    second.settle(facts(200))
    expect(await job.settled).toMatchObject({ state: 'completed', attempts: 1 })
    first.settle(facts(200))
    expect(job.state).toBe('completed')
  })

  test('is skipped with the first when no response calls for the job', async () => {
    const { runtime } = await start(make())
    const [first, second] = [open(runtime), open(runtime)]
    const job = first.add('misbehave.ok', 1, unique)
    second.add('misbehave.ok', 1, unique)
    second.settle(facts(503))
    first.settle(facts(500))
    expect(await job.settled).toMatchObject({ state: 'skipped', error: { code: 'ERR_TASK_SKIPPED' } })
  })

  test('has a `when` of its own, also beside the first call of the same response', async () => {
    const { runtime } = await start(make())
    const [first, second] = [open(runtime), open(runtime)]
    const job = first.add('misbehave.ok', 1, unique)
    second.add('misbehave.ok', 1, { ...unique, when: 'error' })
    second.add('misbehave.ok', 1, { ...unique, when: ({ statusCode }) => statusCode === 418 })
    first.settle(facts(500))
    expect(job.state).toBe('held')
    second.settle(facts(418))
    expect(await job.settled).toMatchObject({ state: 'completed' })
  })

  test('without a response asks for the job at once', async () => {
    const { runtime } = await start(make())
    const first = open(runtime)
    const job = first.add('misbehave.ok', 1, unique)
    runtime.enqueue('misbehave.ok', 1, unique)
    expect(await job.settled).toMatchObject({ state: 'completed' })
    first.settle(facts(500))
  })

  test('keeps its place: what its batch adds behind it runs after the job, wherever that was added', async () => {
    const { runtime, order, named } = await start(make())
    const [first, second] = [open(runtime), open(runtime)]
    const before = first.add('misbehave.ok', 0)
    const job = first.add('misbehave.ok', 1, unique)
    const after = first.add('misbehave.ok', 2)
    const own = second.add('misbehave.ok', 3)
    second.add('misbehave.ok', 1, unique)
    const last = second.add('misbehave.ok', 4)
    for (const [name, each] of Object.entries({ before, job, after, own, last })) named(name, each)
    second.settle(facts(200))
    expect(last.state).toBe('waiting')
    await last.settled
    expect(order).toEqual(['own', 'job', 'last'])
    expect(before.state).toBe('held')
    first.settle(facts(200))
    await after.settled
    expect(order).toEqual(['own', 'job', 'last', 'before', 'after'])
  })

  test('of a running job holds up what its batch adds behind it until that job is over', async () => {
    const { runtime } = await start(make())
    const { channel, open: letGo } = gate()
    const started = nextEvent(runtime, 'job:progress')
    const job = runtime.enqueue(gated, { channel }, unique)
    await started
    const batch = open(runtime)
    expect(batch.add(gated, { channel }, unique).id).toBe(job.id)
    const next = batch.add('misbehave.ok', 1)
    batch.settle(facts(200))
    // Another job runs meanwhile: there was a thread.
    await runtime.enqueue('misbehave.ok', 2).result()
    expect(next.state).toBe('waiting')
    letGo()
    expect(await next.settled).toMatchObject({ state: 'completed' })
  })

  test('that its response refuses holds up nobody', async () => {
    const { runtime } = await start(make())
    const [first, second] = [open(runtime), open(runtime)]
    const job = first.add('misbehave.ok', 1, unique)
    second.add('misbehave.ok', 1, { ...unique, when: 'error' })
    const next = second.add('misbehave.ok', 2)
    second.settle(facts(200))
    expect(await next.settled).toMatchObject({ state: 'completed' })
    expect(job.state).toBe('held')
    first.settle(facts(200))
    await job.settled
  })

  test('takes back its own call alone when its signal aborts', async () => {
    const { runtime } = await start(make())
    const controllers = [new AbortController(), new AbortController()]
    const [first, second] = controllers as [AbortController, AbortController]
    const job = runtime.enqueue('misbehave.ok', 1, { ...unique, delay: hour, signal: first.signal })
    runtime.enqueue('misbehave.ok', 1, { ...unique, signal: second.signal })
    first.abort(new Error('the first has gone'))
    await job.stored
    expect(job.toJSON().error).toBeUndefined()
    second.abort('nobody is left')
    expect(await job.settled).toMatchObject({ state: 'cancelled', error: { code: 'ERR_TASK_CANCELLED' } })
  })

  test('without a signal keeps the job alive whatever the signal of the first does', async () => {
    const { runtime } = await start(make())
    const first = new AbortController()
    const batch = open(runtime)
    const job = batch.add('misbehave.ok', 1, { ...unique, signal: first.signal })
    const other = open(runtime)
    other.add('misbehave.ok', 1, unique)
    first.abort()
    other.settle(facts(200))
    expect(await job.settled).toMatchObject({ state: 'completed' })
    batch.settle(facts(200))
  })

  test('whose signal has aborted already asks for nothing', async () => {
    const { runtime } = await start(make())
    const [first, second] = [open(runtime), open(runtime)]
    const job = first.add('misbehave.ok', 1, unique)
    const again = second.add('misbehave.ok', 1, { ...unique, signal: AbortSignal.abort() })
    expect(again.id).toBe(job.id)
    second.settle(facts(200))
    expect(job.state).toBe('held')
    first.settle(facts(500))
    expect(await job.settled).toMatchObject({ state: 'skipped' })
  })

  test('is not stopped by what fails in the batch of the first, and stops its own when the job is dead', async () => {
    const { runtime } = await start(make())
    const [first, second] = [open(runtime, { onFailure: 'stop' }), open(runtime, { onFailure: 'stop' })]
    const failing = first.add('misbehave.ok', 0, { queueTimeout: 0 })
    const job = first.add('misbehave.ok', 1, unique)
    second.add('misbehave.ok', 1, unique)
    await failing.settled
    second.settle(facts(200))
    expect(await job.settled).toMatchObject({ state: 'completed' })
    first.settle(facts(200))

    const third = open(runtime, { onFailure: 'stop' })
    const dying = runtime.enqueue('misbehave.ok', 0, { unique: 'eve', delay: hour, queueTimeout: 50 })
    third.add('misbehave.ok', 0, { unique: 'eve' })
    const behind = third.add('misbehave.ok', 1)
    third.settle(facts(200))
    expect(await dying.settled).toMatchObject({ state: 'dead' })
    expect(await behind.settled).toMatchObject({ state: 'skipped' })
  })

  test('of a key that is held for a time runs when the first ended without having run', async () => {
    const { runtime } = await start(make())
    const forAnHour = { unique: { key: 'ada', for: hour } } as const
    const batch = open(runtime)
    const skipped = batch.add('misbehave.ok', 1, forAnHour)
    batch.settle(facts(500))
    await skipped.settled
    const cancelled = runtime.enqueue('misbehave.ok', 1, { ...forAnHour, delay: hour })
    expect(cancelled.id).not.toBe(skipped.id)
    cancelled.cancel()
    await cancelled.settled
    const run = runtime.enqueue('misbehave.ok', 1, forAnHour)
    expect(run.id).not.toBe(cancelled.id)
    expect(await run.settled).toMatchObject({ state: 'completed' })
    expect(runtime.enqueue('misbehave.ok', 1, forAnHour).id).toBe(run.id)
  })

  test('needs no room in a full queue, and counts once', async () => {
    const runtime = startThreads(tasks, { broker: make(), maxPending: 1 })
    const [first, second] = [open(runtime), open(runtime)]
    const job = first.add('misbehave.ok', 1, unique)
    expect(second.tryAdd('misbehave.ok', 1, unique)?.id).toBe(job.id)
    expect(runtime.stats().pending).toBe(1)
    first.settle(facts(500))
    second.settle(facts(200))
    expect(await job.settled).toMatchObject({ state: 'completed' })
    expect(runtime.stats()).toMatchObject({ pending: 0, completed: 1, skipped: 0 })
  })

  test('added in a listener of the first, whose response had refused it, is what runs', async () => {
    const { runtime } = await start(make())
    const batch = open(runtime)
    batch.settle(facts(500))
    const announced = nextEvent(runtime, 'job:enqueued')
    runtime.on('job:enqueued', function once() {
      runtime.off('job:enqueued', once)
      runtime.enqueue('misbehave.ok', 1, unique)
    })
    const job = batch.add('misbehave.ok', 1, unique)
    await announced
    expect(await job.settled).toMatchObject({ state: 'completed' })
    expect(job.toJSON().reason).toBeUndefined()
  })
}
