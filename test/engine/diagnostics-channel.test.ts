/** Events as a tool hears them that knows no runtime. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { expect, onTestFinished, test, vi } from 'vitest'
import { type AnyRuntime, engineOf } from '../../src/engine/runtime.ts'
import { isoTask, startThreads } from '../kit/threads.ts'

const failing = isoTask('crash', 'crashThenFail')

/** Collects what is published on a channel during a test. */
function published(name: string): unknown[] {
  const heard: unknown[] = []
  const hear = (message: unknown): void => void heard.push(message)
  subscribe(name, hear)
  onTestFinished(() => void unsubscribe(name, hear))
  return heard
}

test('a channel carries the events of every runtime, also where nobody listens to it', async () => {
  const done = published('aftertask:job:completed')
  const [first, second] = [startThreads([failing]), startThreads([failing])]
  const jobs = [first, second].map((runtime) => runtime.enqueue(failing, { crashes: 0, succeed: true }))
  await Promise.all(jobs.map((job) => job.settled))
  const ids = done.map((event) => (event as { job: { id: string } }).job.id)
  expect(new Set(ids)).toEqual(new Set(jobs.map(({ id }) => id)))
})

test('a subscriber of a channel keeps no thread telling each start at once', () => {
  published('aftertask:job:started')
  const runtime = startThreads([failing])
  const tellStarts = vi.spyOn((runtime as unknown as AnyRuntime)[engineOf].pools, 'tellStarts')
  const listener = (): void => {}
  runtime.on('job:started', listener)
  runtime.off('job:started', listener)
  expect(tellStarts.mock.calls).toEqual([[true], [false]])
})

test('a subscriber of a channel silences no line of a dead job', async () => {
  const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  onTestFinished(() => stderr.mockRestore())
  const dead = published('aftertask:job:dead')
  const runtime = startThreads([failing], { log: true })
  await runtime.enqueue(failing, { crashes: 0 }).settled
  expect(dead).toHaveLength(1)
  expect(stderr.mock.calls.map(String).filter((line) => line.includes('is dead after'))).toHaveLength(1)
})
