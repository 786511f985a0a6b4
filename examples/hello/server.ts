/** Starts the app with threads of its own. */
import { createRuntime } from 'aftertask'
import { listen } from '../listen.ts'
import { helloApp } from './app.ts'
import { slowBurn, slowSleep } from './tasks.ts'

const seconds = Number(process.env.HELLO_SECONDS ?? 5)
// Two threads, so that two five-second tasks can run side by side even on a small machine.
const runtime = createRuntime({ tasks: [slowSleep, slowBurn], pool: { threads: 2 } })
const address = await listen(helloApp(runtime, seconds), runtime)
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
