import { expect, test } from 'vitest'
import { failureOf, isoTask, startThreads } from '../kit/threads.ts'

const ok = isoTask('misbehave', 'ok')
const recurse = isoTask('misbehave', 'recurse')
const recurseAsync = isoTask('misbehave', 'recurseAsync')

test.each([
  ['that overflows the stack', recurse],
  ['that overflows the stack after an await', recurseAsync],
])('a handler %s fails its own attempt with a RangeError, and the thread lives on', async (_, task) => {
  const runtime = startThreads([ok, task])
  let exits = 0
  runtime.on('thread:exited', () => exits++)
  const error = await failureOf(runtime.enqueue(task))
  expect(error).toBeInstanceOf(RangeError)
  expect(error.message).toContain('call stack')
  expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
  expect(exits).toBe(0)
})
