/** The three classic programs of FastAPI's background tasks, for Polka: one route, every route, and the wrong way. */
import type { ServerResponse } from 'node:http'
import { createRuntime } from 'aftertask'
import { afterResponse } from 'aftertask/polka'
import polka from 'polka'
import { listen } from '../listen.ts'
import { burn, sleep } from './five-seconds.ts'
import { slowBurn, slowSleep } from './tasks.ts'

const seconds = Number(process.env.HELLO_SECONDS ?? 5)
// Two threads, so that two five-second tasks can run side by side even on a small machine.
const runtime = createRuntime({ tasks: [slowSleep, slowBurn], pool: { threads: 2 } })
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

function answer(res: ServerResponse, message: string): void {
  res.setHeader('content-type', 'application/json')
  res.end(JSON.stringify({ message }))
}

const address = await listen(app, runtime)
console.log(`
hello listens on ${address}. Try, in another terminal, and look here for "All done" ${seconds} s later:

  curl ${address}/             one route adds a task that sleeps
  curl ${address}/burn         one that computes: / still answers at once meanwhile
  curl ${address}/hello        a middleware adds it to every route
  curl ${address}/goodbye
  curl ${address}/wrong/burn   the wrong way: you wait, and so does everybody who asks for / meanwhile
  curl ${address}/wrong/sleep  the wrong way, asleep: only you wait

Ctrl+C stops it once the tasks that it accepted are done; a second Ctrl+C at once.
`)
