import 'aftertask/testing/vitest'
import { spawnSync } from 'node:child_process'
import { createTestRuntime } from 'aftertask/testing'
import { expect, test } from 'vitest'
import { greet, tasks } from './tasks.ts'

test('expect(runtime).toHaveJob finds a job by part of its payload, and says what there was instead', async () => {
  await using runtime = createTestRuntime({ tasks, mode: 'manual' })
  runtime.enqueue(greet, { to: 'Ada', at: new Date(0) })
  expect(runtime).toHaveJob(greet, { to: 'Ada' })
  expect(runtime).toHaveJob('greet')
  expect(runtime).not.toHaveJob('broken')
  expect(() => expect(runtime).toHaveJob('greet', { to: 'Bob' })).toThrow(
    'No job of "greet" with {"to":"Bob"} was added. What was added:\n  "greet" {"to":"Ada"',
  )
  expect(() => expect(runtime).not.toHaveJob(greet)).toThrow(
    'A job of "greet" was added, and none was to be.',
  )
})

test('expect(anything else).toHaveJob is refused, with a word on what it takes', () => {
  expect(() => expect({}).toHaveJob('greet')).toThrow(
    expect.objectContaining({ code: 'ERR_OPTIONS_INVALID' }),
  )
})

// The other runners: npm run test:runners.
test('the tests of a user pass in node:test, with matchers of its own', () => {
  const file = new URL('./runners/node.js', import.meta.url).pathname
  const { NODE_OPTIONS: _, ...env } = process.env
  const { stdout, status } = spawnSync(process.execPath, ['--test', '--test-reporter=tap', file], {
    encoding: 'utf8',
    env,
  })
  expect([status, /# pass (\d+)/.exec(stdout)?.[1]]).toEqual([0, '4'])
})
