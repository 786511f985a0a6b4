/** Leases that tasks cannot starve, against locks that they can: a few seconds of what `npm run burn` does for minutes. */
import { expect } from 'vitest'
import { burnInline, burnThreads } from './burn/sides.ts'
import { overStore, testAt } from './stores.ts'

const FIRE = { seconds: 1.2, lease: 600 }

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    testAt(
      place,
      'no job stalls or runs twice while every thread burns for leases on end',
      async ({ server }) => {
        expect(await burnThreads(server.url, FIRE)).toMatchObject({
          stalled: 0,
          runAgain: 0,
          unaccounted: 0,
        })
      },
    )

    testAt(
      place,
      'jobs of a bare inline processor stall and run again under the same load',
      async ({ server }) => {
        const { stalled, runAgain } = await burnInline(server.url, FIRE)
        expect(stalled).toBeGreaterThan(0)
        expect(runAgain).toBeGreaterThan(0)
      },
    )
  })
}
