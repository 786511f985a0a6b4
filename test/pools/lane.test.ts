/** What a lane tells of its jobs when its thread has died. */
import { MessageChannel } from 'node:worker_threads'
import { expect, onTestFinished, test } from 'vitest'
import { type LaneHost, type LaneReports, ThreadLane } from '../../src/pools/lane.ts'
import type { JobRecord } from '../../src/rules/job-record.ts'
import { FROM_THREAD, laneTable, NOBODY, NOT_ASKED, RUNNING } from '../../src/rules/protocol.ts'
import { toWireError } from '../../src/rules/wire-error.ts'
import { entryOf, recordOf } from '../kit/records.ts'

/** A lane whose jobs run, and the thread's side of its port. */
function laneWith(jobs: readonly JobRecord[]) {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port2.close())
  const table = laneTable()
  const host = new Proxy({}, { get: () => () => {} }) as LaneHost & LaneReports
  const options = { concurrency: 4, lifetime: Number.POSITIVE_INFINITY, measuresCpu: false, now: 0 }
  const lane = new ThreadLane(1, options, port1, table, host, host)
  lane.send(jobs)
  for (const job of jobs) table.state[lane.inFlight.slotOf(job)] = RUNNING
  return { lane, port: port2 }
}

const error = toWireError(new Error('escaped'))

test('a thread that dies after an escaped error was charged counts no neighbour of that job as crashed', () => {
  const [culprit, neighbour] = [
    recordOf(1, { entry: entryOf('bad') }),
    recordOf(2, { entry: entryOf('good') }),
  ]
  const { lane, port } = laneWith([culprit, neighbour])
  const slot = lane.inFlight.slotOf(culprit)
  port.postMessage([FROM_THREAD.retire, culprit.entry.index])
  port.postMessage([FROM_THREAD.failed, slot, error, NOT_ASKED])
  expect(lane.bury()).toEqual({ unstarted: [], running: [neighbour], culprit })
})

test('a thread that dies after an error of nobody was told has no culprit among its jobs', () => {
  const [failed, other] = [recordOf(1, { entry: entryOf('one') }), recordOf(2, { entry: entryOf('two') })]
  const { lane, port } = laneWith([failed, other])
  const slot = lane.inFlight.slotOf(failed)
  port.postMessage([FROM_THREAD.retire, NOBODY])
  port.postMessage([FROM_THREAD.failed, slot, error, NOT_ASKED])
  expect(lane.bury()).toEqual({ unstarted: [], running: [other], culprit: undefined })
})
