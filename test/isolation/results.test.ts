/** Results and errors that cannot travel, or fight back when they are looked at. */
import { describe, expect, test } from 'vitest'
import { NotSerializableError } from '../../src/words/errors.ts'
import { addTogether, failureOf, isoTask, startThreads } from '../kit/threads.ts'

const ok = isoTask('misbehave', 'ok')
const results = {
  returnFunction: isoTask('misbehave', 'returnFunction'),
  returnSocket: isoTask('misbehave', 'returnSocket'),
  returnHostile: isoTask('misbehave', 'returnHostile'),
  returnDeep: isoTask('misbehave', 'returnDeep'),
}

describe('a result that cannot travel', () => {
  test.each([
    ['returnFunction', 'the result.deep.callback'],
    ['returnSocket', 'the result.port'],
    ['returnHostile', 'the result'],
    ['returnDeep', 'the result'],
  ] as const)(
    'as %s gives it fails its own attempt with a typed error, and the thread lives on',
    async (name, path) => {
      const runtime = startThreads([ok, results[name]])
      let exits = 0
      runtime.on('thread:exited', () => exits++)
      const error = await failureOf(runtime.enqueue(results[name]))
      expect(error).toMatchObject({ name: 'NotSerializableError', code: 'ERR_NOT_SERIALIZABLE', path })
      expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
      expect(exits).toBe(0)
    },
  )

  test('in a bundle fails its own attempt only', async () => {
    const runtime = startThreads([ok, results.returnFunction], {
      bundles: { milliseconds: Number.POSITIVE_INFINITY, max: 3 },
    })
    await runtime.ready()
    const jobs = addTogether(runtime, () => [
      runtime.enqueue(ok, 0),
      runtime.enqueue(results.returnFunction),
      runtime.enqueue(ok, 2),
    ])
    const states = await Promise.all(jobs.map((job) => job.settled))
    expect(states.map(({ state }) => state)).toEqual(['completed', 'dead', 'completed'])
  })

  test('is refused as a payload where the job is added, by the same error', () => {
    const runtime = startThreads([ok])
    const add = (): unknown => runtime.enqueue(ok, { deep: [new Map([['key', () => {}]])] })
    expect(add).toThrow(NotSerializableError)
    expect(add).toThrow(expect.objectContaining({ path: 'payload.deep[0].get("key")' }))
    expect(runtime.stats().pending).toBe(0)
  })
})

describe('a thenable', () => {
  test('that settles more than once counts once', async () => {
    const task = isoTask('misbehave', 'returnDoubleThenable')
    const runtime = startThreads([ok, task])
    expect(await runtime.enqueue(task).settled).toMatchObject({
      state: 'completed',
      result: 'first',
      attempts: 1,
    })
    expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
  })

  test('that throws when it is looked at fails its own attempt', async () => {
    const task = isoTask('misbehave', 'returnHostileThenable')
    const runtime = startThreads([ok, task])
    expect(await failureOf(runtime.enqueue(task))).toMatchObject({ message: 'hostile then' })
    expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
  })
})

describe('a thrown value', () => {
  test('that cannot be read fails its own attempt with a typed error, and the thread lives on', async () => {
    const task = isoTask('misbehave', 'throwHostile')
    const runtime = startThreads([ok, task])
    let exits = 0
    runtime.on('thread:exited', () => exits++)
    expect(await failureOf(runtime.enqueue(task))).toMatchObject({ code: 'ERR_NON_ERROR_THROWN' })
    expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
    expect(exits).toBe(0)
  })

  test('with parts that cannot be read or travel keeps the others', async () => {
    const task = isoTask('misbehave', 'throwWithHostileProps')
    const runtime = startThreads([task])
    const error = await failureOf(runtime.enqueue(task))
    expect(error).toMatchObject({ message: 'readable', code: 'E_KEPT' })
    expect(error).not.toHaveProperty('socket')
  })

  test('that is undefined is an error all the same', async () => {
    const task = isoTask('misbehave', 'throwUndefined')
    const runtime = startThreads([task])
    expect(await failureOf(runtime.enqueue(task))).toMatchObject({ code: 'ERR_NON_ERROR_THROWN' })
  })
})
