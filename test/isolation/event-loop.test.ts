import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { spinFor } from '../fixtures/handlers/iso-misbehave.ts'
import { gateTasks, MemoryGate } from '../kit/memory-gate.ts'
import { startThreads } from '../kit/threads.ts'

const TURNS = 100

test('a handler that spins leaves the event loop its turns', async () => {
  const runtime = startThreads(Object.values(gateTasks))
  const gate = new MemoryGate()
  await gate.teach(runtime)
  const job = runtime.enqueue(gateTasks.spinUntilOpen, { at: 1 })
  await gate.reached(1)
  // It spins until this loop lets it go: were the loop held, it would spin for ever.
  for (let turns = 0; turns < TURNS; turns++) await turn()
  expect(job.state).toBe('running')
  gate.open(1)
  expect(await job.result()).toBe('let go')
})

test('the same done inline leaves the event loop no turn: the control of the test above', async () => {
  let turns = 0
  const count = (): void => {
    turns++
    immediate = setImmediate(count)
  }
  let immediate = setImmediate(count)
  await Promise.resolve().then(() => spinFor({ milliseconds: 50 }))
  clearImmediate(immediate)
  expect(turns).toBe(0)
})
