/** The servers of examples/recipes, over real sockets. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import type { Runtime, Shutdown } from 'aftertask'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { freePort } from '../kit/free-port.ts'
import { nextEvent } from '../kit/next-event.ts'

interface Recipe {
  readonly runtime: Runtime
  readonly server: Server
  readonly stopping: Shutdown
  goAway?(): void
}

/** Starts a recipe in this process; it is stopped, as a signal would, by `end` or with the test. */
async function start(name: string): Promise<Recipe & { port: number; ends: string[] }> {
  vi.stubEnv('PORT', '0')
  const recipe = (await import(`../../examples/recipes/${name}.ts`)) as Recipe
  onTestFinished(async () => {
    recipe.goAway?.()
    await recipe.stopping.begin()
    recipe.stopping.remove()
    if (recipe.goAway) process.off('SIGTERM', recipe.goAway).off('SIGINT', recipe.goAway)
  })
  if (!recipe.server.listening) await once(recipe.server, 'listening')
  const ends: string[] = []
  for (const end of ['completed', 'skipped', 'dead', 'lost'] as const)
    recipe.runtime.on(`job:${end}`, ({ job }) => ends.push(`${end} ${job.name}`))
  return { ...recipe, port: (recipe.server.address() as AddressInfo).port, ends }
}

function post(url: string, body: unknown): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
}

/** All that is said to a socket, in order, one by one. */
function messages(socket: WebSocket): () => Promise<string> {
  const heard: string[] = []
  const waiting: ((text: string) => void)[] = []
  socket.on('message', (data) => {
    const next = waiting.shift()
    if (next) next(String(data))
    else heard.push(String(data))
  })
  return async () => heard.shift() ?? new Promise((resolve) => waiting.push(resolve))
}

/** The words of a server's answer, none while there is no server. */
async function answerOf(port: number): Promise<string[]> {
  // A connection for each, since it is a connection that goes to one process or the other.
  const headers = { connection: 'close' }
  return fetch(`http://127.0.0.1:${port}`, { headers }).then(
    async (answer) => (await answer.text()).split(' '),
    () => [],
  )
}

describe('tRPC', () => {
  test('a batch that answers 207 runs the jobs of the calls that succeeded, and those for failures of the others', async () => {
    const { runtime, port, ends } = await start('trpc')
    const settled = Promise.all([
      nextEvent(runtime, 'job:completed', ({ job }) => job.name === 'email.welcome'),
      nextEvent(runtime, 'job:completed', ({ job }) => job.name === 'failure.report'),
    ])
    const answer = await post(`http://127.0.0.1:${port}/signup,broken?batch=1`, {
      0: { to: 'a@b.dev' },
      1: {},
    })
    expect(answer.status).toBe(207)
    expect(await answer.json()).toMatchObject([{ result: {} }, { error: { data: { httpStatus: 409 } } }])
    await settled
    expect(new Set(ends)).toEqual(
      new Set(['completed email.welcome', 'completed failure.report', 'skipped email.welcome']),
    )
  })
})

describe('GraphQL Yoga', () => {
  test('an answer of 200 that holds errors means that the request has failed', async () => {
    const { runtime, port, ends } = await start('yoga')
    const reported = nextEvent(runtime, 'job:completed', ({ job }) => job.name === 'failure.report')
    const query = 'mutation { signup(to: "a@b.dev") broken }'
    const answer = await post(`http://127.0.0.1:${port}/graphql`, { query })
    expect(answer.status).toBe(200)
    expect(await answer.json()).toMatchObject({ errors: [{ path: ['broken'] }] })
    await reported
    expect(new Set(ends)).toEqual(new Set(['completed failure.report', 'skipped email.welcome']))
    const welcomed = nextEvent(runtime, 'job:completed')
    await post(`http://127.0.0.1:${port}/graphql`, { query: 'mutation { signup(to: "a@b.dev") }' })
    expect((await welcomed).job.name).toBe('email.welcome')
  })
})

describe('WebSockets beside HTTP', () => {
  test('a message adds a job at once, a request once its response is out, and a stop closes both', async () => {
    const { runtime, port, stopping, goAway, ends } = await start('web-socket')
    const socket = new WebSocket(`ws://127.0.0.1:${port}`)
    const next = messages(socket)
    await once(socket, 'open')
    socket.send('{"to":"nobody"}')
    expect(JSON.parse(await next())).toMatchObject({ code: 'ERR_PAYLOAD_INVALID' })
    socket.send('{"to":"a@b.dev"}')
    const { job } = JSON.parse(await next()) as { job: string }
    expect(JSON.parse(await next())).toEqual({ job, state: 'completed' })
    const completed = nextEvent(runtime, 'job:completed')
    const id = await (await fetch(`http://127.0.0.1:${port}`)).text()
    expect((await completed).job.id).toBe(id)
    const closed = once(socket, 'close')
    goAway?.()
    expect(await stopping.begin()).toMatchObject({ cut: 0, lost: [] })
    expect(await closed).toEqual([1001, Buffer.from('The server stops')])
    expect(ends).toEqual(['completed email.welcome', 'completed email.welcome'])
  })
})

describe('Socket.IO beside HTTP', () => {
  test('an event adds a job at once, a request once its response is out, and a stop closes both', async () => {
    const { runtime, port, stopping, goAway } = await start('socket-io')
    // Its protocol by hand: 0 opens, 40 joins, 42N calls with an acknowledgement, which comes as 43N.
    const socket = new WebSocket(`ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket`)
    const next = messages(socket)
    expect(await next()).toMatch(/^0/)
    socket.send('40')
    expect(await next()).toMatch(/^40/)
    socket.send('420["signup",{"to":"nobody"}]')
    expect(await next()).toBe('430[{"code":"ERR_PAYLOAD_INVALID"}]')
    const added = nextEvent(runtime, 'job:completed')
    socket.send('421["signup",{"to":"a@b.dev"}]')
    expect(await next()).toBe(`431[{"job":"${(await added).job.id}"}]`)
    const completed = nextEvent(runtime, 'job:completed')
    const id = await (await fetch(`http://127.0.0.1:${port}`)).text()
    expect((await completed).job.id).toBe(id)
    const closed = once(socket, 'close')
    goAway?.()
    expect(await stopping.begin()).toMatchObject({ cut: 0, lost: [] })
    await closed
  })
})

describe('node:cluster', () => {
  const children: ChildProcess[] = []
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
  })

  test('each process answers, and SIGTERM ends all of them with their jobs done', async () => {
    const port = await freePort()
    const file = new URL('../../examples/recipes/node-cluster.ts', import.meta.url)
    const child = fork(file, {
      env: { ...process.env, PORT: String(port), PROCESSES: '2' },
      stdio: 'inherit',
    })
    children.push(child)
    const processes = new Set<string>()
    while (processes.size < 2) {
      const [pid] = await answerOf(port)
      // The processes say to nobody when they listen.
      if (pid === undefined) await setTimeout(20)
      else processes.add(pid)
    }
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    expect(await exited).toEqual([0, null])
    for (const pid of processes) expect(() => process.kill(Number(pid), 0)).toThrow(/ESRCH/)
  })
})
