/** A stop while the jobs of one response go one after the other. */
import { createServer } from 'node:http'
import { onTestFinished, test } from 'vitest'
import { afterResponse } from '../../src/http/index.ts'
import { note } from '../fixtures/http-tasks.ts'
import { httpRuntime, nextEvent } from '../kit/jobs.ts'
import { get, listen } from '../kit/serve.ts'

test('a stop runs the jobs that wait behind others of their batch', async ({ expect }) => {
  const runtime = httpRuntime({}, onTestFinished)
  await runtime.ready()
  const middleware = afterResponse(runtime)
  const port = await listen(
    createServer((req, res) => {
      middleware(req, res)
      for (const text of ['first', 'second', 'third']) req.after(note, { text })
      res.end()
    }),
  )
  runtime.pause()
  await get(port)
  const started = nextEvent(runtime, 'job:started')
  runtime.resume()
  await started
  const report = await runtime.stop({ timeout: 5000 })
  expect(report).toEqual({ completed: 3, failed: 0, lost: [], left: [] })
})
