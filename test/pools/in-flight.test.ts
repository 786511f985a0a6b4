import fc from 'fast-check'
import { expect, test } from 'vitest'
import { InFlight } from '../../src/pools/in-flight.ts'
import type { JobRecord } from '../../src/rules/job-record.ts'
import { recordOf } from '../kit/records.ts'

const SLOTS = 8

test('jobs in flight are found by slot and by job, whatever came and went', () => {
  const steps = fc.array(fc.record({ slot: fc.nat(SLOTS - 1), asks: fc.nat(20) }), { maxLength: 100 })
  fc.assert(
    fc.property(steps, (done) => {
      const inFlight = new InFlight(SLOTS)
      const expected = new Map<number, JobRecord>()
      for (const [index, { slot, asks }] of done.entries()) {
        if (expected.delete(slot)) inFlight.empty(slot)
        else {
          const job = recordOf(index + 1)
          expected.set(slot, job)
          inFlight.put(slot, job)
        }
        const asked = [...expected.values()][asks]
        expect(asked === undefined || inFlight.at(inFlight.slotOf(asked)) === asked).toBe(true)
        expect(inFlight.size).toBe(expected.size)
        expect([...inFlight.keys()]).toEqual([...expected].sort(([a], [b]) => a - b).map(([, job]) => job))
      }
      for (const [slot, job] of expected) expect(inFlight.slotOf(job)).toBe(slot)
      expect(inFlight.has(recordOf(1000))).toBe(false)
      inFlight.clear()
      expect([inFlight.size, ...inFlight.keys()]).toEqual([0])
    }),
  )
})
