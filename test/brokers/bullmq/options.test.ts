/** Options of a runtime that BullMQ has no use for. */
import { expect, test } from 'vitest'
import { bullmqBroker } from '../../../src/brokers/bullmq.ts'
import { createRuntime } from '../../../src/engine/runtime.ts'
import type { RuntimeOptions } from '../../../src/engine/runtime-options.ts'
import { defineTask } from '../../../src/rules/task.ts'
import { trail } from './fixture/tasks.ts'

const handler = new URL('./fixture/handlers/trail.ts', import.meta.url)
const kept = defineTask({ name: 'kept', handler, retention: { count: 5 } })

/** The lines of a runtime over a store that is not there, from its beginning. */
async function linesOf(options: Omit<RuntimeOptions, 'broker' | 'log'>): Promise<string[]> {
  const lines: string[] = []
  // Nobody listens on this port.
  const broker = bullmqBroker({ connection: 'redis://127.0.0.1:1' })
  const runtime = createRuntime({
    pool: { threads: 1 },
    ...options,
    broker,
    log: ({ message }) => lines.push(message),
  })
  await runtime.stop({ timeout: 0 })
  return lines.filter((line) => line.includes('bullmqBroker'))
}

test('priorityAgeing and the retention of tasks are told to have no effect over bullmq, in one line', async () => {
  expect(await linesOf({ tasks: [trail, kept], priorityAgeing: 50 })).toEqual([
    'bullmqBroker has no use for priorityAgeing: a larger priority always goes first; and for retention of the tasks kept: that of the runtime counts',
  ])
})

test('a runtime over bullmq that asks for neither, or for no ageing, hears of nothing', async () => {
  expect(await linesOf({ tasks: [trail] })).toEqual([])
  expect(await linesOf({ tasks: [trail], priorityAgeing: 0 })).toEqual([])
})
