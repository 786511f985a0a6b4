/** The three classic programs of FastAPI's background tasks, for Polka: one route, every route, and the wrong way. */
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
  res.end('Hello\n')
})
app.get('/burn', (req, res) => {
  req.after(slowBurn, { status: res.statusCode, seconds })
  res.end('Hello\n')
})

// 2. Every route of an app: a middleware adds the task. It lets the route run first, since only then is the status known.
const every = polka()
every.use(async (req, res, next) => {
  await next()
  req.after(slowSleep, { status: res.statusCode, seconds })
})
every.get('/hello', (_req, res) => {
  res.end('Hello\n')
})
every.get('/goodbye', (_req, res) => {
  res.writeHead(202).end('Goodbye\n')
})
app.use('/every', every)

// 3. The wrong way: the work is part of the request. Sleeping keeps this client waiting; burning, on the event loop,
// keeps everybody waiting: ask for / meanwhile.
app.get('/wrong/sleep', async (_req, res) => {
  await sleep(seconds)
  res.end('Hello, at last\n')
  console.log(`All done, status ${res.statusCode}`)
})
app.get('/wrong/burn', (_req, res) => {
  burn(seconds)
  res.end('Hello, at last\n')
  console.log(`All done, status ${res.statusCode}`)
})

const address = await listen(app, runtime)
console.log(`
hello listens on ${address}. Try, in another terminal, and look here for "All done" ${seconds} s later:

  curl ${address}/                one route adds a task that sleeps
  curl ${address}/burn            one that computes: / still answers at once meanwhile
  curl ${address}/every/hello     a middleware adds it to every route
  curl ${address}/every/goodbye   the status is 202 here
  curl ${address}/wrong/burn      the wrong way: you wait, and so does everybody who asks for / meanwhile
  curl ${address}/wrong/sleep     the wrong way, asleep: only you wait

Ctrl+C stops it once the tasks that it accepted are done.
`)
