/** Leases that tasks cannot starve, against locks that they can: what `npm run burn` does for minutes and counts. */
import { availableParallelism } from 'node:os'
import { expect } from 'vitest'
import { tempFolder } from '../../kit/temp-folder.ts'
import { burnOneInline } from './burn/sides.ts'
import { trail } from './fixture/tasks.ts'
import { eventsInStore, watchLeases } from './rounds/witness.ts'
import { overStore, testAt } from './stores.ts'

const LEASE = 1500
const { newFile } = tempFolder('burn')

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    testAt(place, 'leases are renewed for longer than they last while every thread burns', async (here) => {
      const threads = availableParallelism()
      const runtime = here.runtime({ lease: LEASE }, { pool: { threads } })
      const begun = Promise.withResolvers<void>()
      let started = 0
      runtime.on('job:started', () => void (++started === threads && begun.resolve()))
      const file = newFile()
      const jobs = Array.from({ length: threads }, () => runtime.enqueue(trail, { file, ms: 600_000 }))
      const ids = jobs.map(({ id }) => id)
      await begun.promise
      const leases = await watchLeases(here.server.url, `${here.prefix}:pool.default`, ids)
      const first = await leases.ends()
      const isRenewed = (end: number | undefined, at: number): boolean =>
        (end ?? 0) >= (first[at] ?? 0) + LEASE
      while (!(await leases.ends()).every(isRenewed));
      await leases.close()
      for (const job of jobs) job.cancel()
      const settled = await Promise.all(jobs.map((job) => job.settled))
      expect(settled.map(({ state, attempts }) => [state, attempts])).toEqual(
        jobs.map(() => ['cancelled', 1]),
      )
      const events = await eventsInStore(here.server.url)
      expect(events.filter(({ event, id }) => event === 'stalled' && ids.includes(id))).toEqual([])
    })

    testAt(place, 'the lock of a bare inline processor that burns runs out', async ({ server }) => {
      const { id, queue, end } = await burnOneInline(server.url, { lease: 600, file: newFile() })
      const locks = await watchLeases(server.url, queue, [id])
      const lock = async (): Promise<number | undefined> => (await locks.ends())[0]
      while ((await lock()) === undefined);
      for (let until = await lock(); until !== undefined && until > Date.now(); until = await lock());
      await locks.close()
      await end()
    })
  })
}
