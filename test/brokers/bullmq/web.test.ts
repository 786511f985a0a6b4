/** A web process while its store is away: it stays up, answers, says how things are, and goes on by itself. */
import { createServer } from 'node:http'
import { expect } from 'vitest'
import type { Job } from '../../../src/engine/job.ts'
import { afterResponse } from '../../../src/http/index.ts'
import { nextEvent } from '../../kit/next-event.ts'
import { listen } from '../../kit/serve.ts'
import { tempFolder } from '../../kit/temp-folder.ts'
import { trail } from './fixture/tasks.ts'
import { overStore, type Place, testAt } from './stores.ts'

const { path } = tempFolder('web')

interface Answer {
  readonly status: number
  readonly code?: string
}

/** A server whose POST adds a job and whose GET adds none. */
async function web(here: Place, whenDown: 'refuse' | 'buffer') {
  const runtime = here.runtime({ role: 'producer', whenDown, buffer: 2 })
  await runtime.ready()
  const after = afterResponse(runtime)
  const jobs: Job[] = []
  const server = createServer((req, res) => {
    after(req, res)
    try {
      if (req.method === 'POST') jobs.push(req.after(trail, { file: path('trail'), ms: 1 }))
      res.writeHead(req.method === 'POST' ? 202 : 200).end('{}')
    } catch (error) {
      const { status, code } = error as Error & { status: number; code: string }
      res.writeHead(status).end(JSON.stringify({ code }))
    }
  })
  const port = await listen(server)
  const ask = async (method: 'GET' | 'POST'): Promise<Answer> => {
    const response = await fetch(`http://127.0.0.1:${port}/`, { method })
    return { status: response.status, ...((await response.json()) as { code?: string }) }
  }
  return { runtime, jobs, ask }
}

const REFUSED = { status: 503, code: 'ERR_BROKER_UNAVAILABLE' }

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    testAt(
      place,
      'with `refuse` it answers 503 to what needs the store and goes on answering the rest, until the store is back',
      async (here) => {
        here.runtime({ role: 'worker' })
        const { runtime, jobs, ask } = await web(here, 'refuse')
        expect(await ask('POST')).toEqual({ status: 202 })
        await jobs[0]?.settled
        const down = nextEvent(runtime, 'broker:down')
        await here.server.stop(true)
        expect((await down).error).toBeInstanceOf(Error)
        expect(runtime.stats().broker).toMatchObject({ state: 'down', buffered: 0 })
        expect(await Promise.all([ask('POST'), ask('GET'), ask('POST')])).toEqual([
          REFUSED,
          { status: 200 },
          REFUSED,
        ])
        const up = nextEvent(runtime, 'broker:up')
        await here.server.start()
        expect((await up).downFor).toBeGreaterThan(0)
        expect(runtime.stats().broker).toMatchObject({ state: 'up', buffered: 0 })
        expect(await ask('POST')).toEqual({ status: 202 })
        expect(await jobs[1]?.settled).toMatchObject({ state: 'completed', attempts: 1 })
      },
    )

    testAt(
      place,
      'with `buffer` it takes jobs up to the bound and refuses beyond it, and all run once the store is back',
      async (here) => {
        here.runtime({ role: 'worker' })
        const { runtime, jobs, ask } = await web(here, 'buffer')
        const down = nextEvent(runtime, 'broker:down')
        await here.server.stop(true)
        await down
        expect([await ask('POST'), await ask('POST'), await ask('POST'), await ask('GET')]).toEqual([
          { status: 202 },
          { status: 202 },
          REFUSED,
          { status: 200 },
        ])
        expect(runtime.stats()).toMatchObject({ pending: 2, broker: { state: 'down', buffered: 2 } })
        const up = nextEvent(runtime, 'broker:up')
        await here.server.start()
        await up
        const settled = await Promise.all(jobs.map((job) => job.settled))
        expect(settled.map(({ state, attempts }) => [state, attempts])).toEqual([
          ['completed', 1],
          ['completed', 1],
        ])
        // A job may run before the answer to its insert has come.
        await expect
          .poll(() => runtime.stats())
          .toMatchObject({ pending: 0, broker: { state: 'up', buffered: 0 } })
        expect(await ask('POST')).toEqual({ status: 202 })
      },
    )
  })
}
