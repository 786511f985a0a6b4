/** The three classic programs of FastAPI's background tasks, for Polka: one route, every route, and the wrong way. */
import type { ServerResponse } from 'node:http'
import type { Runtime } from 'aftertask'
import { afterResponse } from 'aftertask/polka'
import polka, { type Polka } from 'polka'
import { burn, sleep } from './five-seconds.ts'
import { slowBurn, slowSleep } from './tasks.ts'

/** The app over a runtime: the server's, or that of a test. Its tasks take so many seconds. */
export function helloApp(runtime: Runtime, seconds: number): Polka {
  const app = polka().use(afterResponse(runtime))

  // 1. One route: the response goes out at once, and the task starts when it has.
  app.get('/', (req, res) => {
    req.after(slowSleep, { status: res.statusCode, seconds })
    answer(res, 'Hello World')
  })
  app.get('/burn', (req, res) => {
    req.after(slowBurn, { status: res.statusCode, seconds })
    answer(res, 'Hello World')
  })

  // 3. The wrong way: the work is part of the request. Sleeping keeps this client waiting; burning, on the event loop,
  // keeps everybody waiting: ask for / meanwhile.
  app.get('/wrong/sleep', async (_req, res) => {
    await sleep(seconds)
    answer(res, 'Hello World')
    console.log(`All done, status ${res.statusCode}`)
  })
  app.get('/wrong/burn', (_req, res) => {
    burn(seconds)
    answer(res, 'Hello World')
    console.log(`All done, status ${res.statusCode}`)
  })

  // 2. Every route: a middleware adds the task, for all routes below it, and for those that do not exist. It lets the route
  // run first, since only then is the status known.
  app.use(async (req, res, next) => {
    await next()
    req.after(slowSleep, { status: res.statusCode, seconds })
  })
  app.get('/hello', (_req, res) => answer(res, 'Hello World'))
  app.get('/goodbye', (_req, res) => answer(res, 'Goodbye World'))
  return app
}

function answer(res: ServerResponse, message: string): void {
  res.setHeader('content-type', 'application/json')
  res.end(JSON.stringify({ message }))
}
