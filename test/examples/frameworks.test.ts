/** The apps of examples/frameworks and examples/nest, each a process of its own, over real sockets. */
import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../kit/free-port.ts'
import { rawClient } from '../kit/serve.ts'
import { tempFolder } from '../kit/temp-folder.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = tempFolder('frameworks')
const BODY = '{"to":"a@b.dev"}'
const SIGNUP = `POST /signup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`

interface App {
  readonly child: ChildProcess
  readonly port: number
  readonly url: string
  /** The file of the witness. */
  readonly witness: string
  /** Resolves once the witness tells this from now on, such as `completed email.welcome`. */
  told(line: string): Promise<void>
}

// Decorators need a build.
beforeAll(() => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  execFileSync(process.execPath, [tsc, '-p', join(root, 'examples/nest')])
})

function moduleOf(name: string): string {
  return join(root, name === 'nest' ? 'examples/nest/dist/main.js' : `examples/frameworks/${name}.ts`)
}

/** Starts an app as a process, and resolves once it listens. */
async function start(name: string): Promise<App> {
  const port = await freePort()
  const witness = folder.newFile()
  const child = fork(
    new URL('./frameworks/witnessed.ts', import.meta.url),
    [pathToFileURL(moduleOf(name)).href, witness],
    {
      env: { ...process.env, PORT: String(port), NODE_ENV: 'test' },
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    },
  )
  const told = (line: string): Promise<void> =>
    new Promise((resolve, reject) => {
      child.on('message', (heard: string) => {
        if (heard === line) resolve()
      })
      child.on('exit', () => reject(new Error(`${name} ended before "${line}"`)))
    })
  const url = `http://127.0.0.1:${port}`
  // The app says to nobody that it listens; Node tells of no port of another process.
  while (child.exitCode === null && !(await isUp(url))) await setTimeout(20)
  return { child, port, url, witness, told }
}

async function isUp(url: string): Promise<boolean> {
  return fetch(url).then(
    () => true,
    () => false,
  )
}

function signup(url: string, to: string): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return fetch(`${url}/signup`, { method: 'POST', headers, body: JSON.stringify({ to }) })
}

/** Clients that ask again and again until the server is gone. Resolves after so many answers. */
function load(port: number, answers: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let left = answers
  const answered = (): void => {
    if (--left === 0) resolve()
  }
  for (let index = 0; index < 8; index++) ask(port, answered)
  return promise
}

function ask(port: number, answered: () => void): void {
  const socket = connect(port, '127.0.0.1')
  const again = (): void => void socket.write(SIGNUP)
  socket.on('connect', again)
  socket.on('error', () => {})
  socket.on('data', () => {
    answered()
    again()
  })
}

/** Jobs that the witness saw accepted and that have no end, or more than one. */
function unaccounted(witness: string): { accepted: number; faults: string[]; lost: number } {
  const ends = new Map<string, string[]>()
  for (const line of readFileSync(witness, 'utf8').split('\n').filter(Boolean)) {
    const [what = '', id = ''] = line.split(' ')
    if (what === 'accepted') ends.set(id, [])
    else ends.get(id)?.push(what)
  }
  const faults = [...ends]
    .filter(([, how]) => how.length !== 1)
    .map(([id, how]) => `${id}: ${how.join(', ')}`)
  const lost = [...ends.values()].filter((how) => how.includes('lost')).length
  return { accepted: ends.size, faults, lost }
}

describe.each(['express', 'fastify', 'hono', 'koa', 'h3', 'nest'])('the app on %s', (name) => {
  let app: App
  beforeAll(async () => {
    app = await start(name)
  })
  afterAll(() => void app.child.kill('SIGKILL'))

  test(`of ${name} answers at once, and its job outlives the response`, async () => {
    const done = app.told('completed email.welcome')
    const response = await signup(app.url, 'a@b.dev')
    expect(response.status).toBe(202)
    expect(await response.json()).toEqual({ job: expect.any(String) })
    await done
  })

  test(`of ${name} answers a bad payload with 400, and goes on`, async () => {
    expect((await signup(app.url, 'nobody')).status).toBe(400)
    const done = app.told('completed email.welcome')
    expect((await signup(app.url, 'a@b.dev')).status).toBe(202)
    await done
  })

  test(`of ${name} runs what is for failed requests, whatever their status`, async () => {
    const done = app.told('completed failure.report')
    expect((await fetch(`${app.url}/broken`)).status).toBe(409)
    await done
  })

  test(`of ${name} keeps the job of a client that leaves without its answer`, async () => {
    const client = await rawClient(app.port)
    const accepted = app.told('accepted email.welcome')
    const done = app.told('completed email.welcome')
    client.send(SIGNUP)
    await accepted
    client.leave()
    await done
  })

  test(`of ${name} ends at SIGTERM under load, with every job accounted for`, async () => {
    await load(app.port, 40)
    const exited = once(app.child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
    app.child.kill('SIGTERM')
    const [code, signal] = await exited
    const { accepted, faults, lost } = unaccounted(app.witness)
    expect(accepted).toBeGreaterThanOrEqual(40)
    expect(faults).toEqual([])
    expect(lost).toBe(0)
    // Nest ends by the signal itself once it has closed.
    expect(name === 'nest' ? (signal ?? code) : code).toBe(name === 'nest' ? 'SIGTERM' : 0)
  })
})
