import { afterEach, expect, test, vi } from 'vitest'
import { ReadyQueue } from '../../../src/brokers/structures/ready-queue.ts'
import { Timeline } from '../../../src/brokers/structures/timeline.ts'
import { Signals } from '../../../src/engine/signals.ts'
import { fuzzer } from './fuzzer.ts'

afterEach(() => void vi.restoreAllMocks())

const timeout = 120_000
const search = { seed: 1, runs: 300, shrinks: false }

test('the fuzzer of memory finds a queue that keeps jobs which have ended', { timeout }, async () => {
  vi.spyOn(ReadyQueue.prototype, 'ended').mockImplementation(() => {})
  const finding = await fuzzer.search(search)
  expect(finding?.fault).toMatch(/records are still reachable|record/)
})

test('the fuzzer of memory finds a timeline that keeps jobs until they were due', { timeout }, async () => {
  vi.spyOn(Timeline.prototype, 'left').mockImplementation(() => {})
  const finding = await fuzzer.search(search)
  expect(finding?.fault).toMatch(/reachable/)
})

test('the fuzzer of memory finds a signal that is never let go of', { timeout }, async () => {
  vi.spyOn(Signals.prototype, 'forget').mockImplementation(() => {})
  const finding = await fuzzer.search(search)
  expect(finding?.fault).toMatch(/signals? .*(?:reachable|listeners)|reachable/)
})
