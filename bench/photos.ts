/**
 * GET / of examples/photos beside twenty photographs that are being resized: by the threads, and the wrong way, on the
 * main thread. Server and load are processes of their own; requests come at a constant, modest rate, so that what is
 * measured is how long they take and not how many fit. `node bench/photos.ts` runs it alone.
 */

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createRuntime } from 'aftertask'
import { type Findings, figure } from './kit/findings.ts'
import { quantile, type Spread, spread } from './kit/statistics.ts'
import { amount, findingsText } from './kit/table.ts'

const PHOTOS = 20
const ROUNDS = 2
/** Milliseconds of load at a time: with the threads at work, or without. */
const SLICE = 1000
/** Requests a second, and the keep-alive connections that they come over. */
const RATE = 200
const CONNECTIONS = 8
const photograph = readFileSync(new URL('../examples/photos/fixtures/dandelion.jpg', import.meta.url))

/** What the server process says after each command. */
interface ServerState {
  readonly port: number
  readonly pending: number
  readonly completed: number
}

/** Measures all three, and resolves to what was found. */
export default async function measure(): Promise<Findings> {
  const data = mkdtempSync(join(tmpdir(), 'aftertask-bench-'))
  const server = new Peer('server', { PHOTOS_DATA: data })
  const load = new Peer('load')
  try {
    const { port } = await server.ask<ServerState>('pause')
    const slice = async (): Promise<number[]> => {
      await load.ask({ port })
      await setTimeout(SLICE)
      return load.ask<number[]>('stop')
    }
    await slice()
    const idle: number[][] = []
    const busy: number[][] = []
    const wrong: number[][] = []
    for (let round = 0; round < ROUNDS; round++) {
      await uploadAll(port, '/photos', 202)
      for (;;) {
        // Alternating, so that what the machine does besides meets both alike.
        const before = await slice()
        await server.ask('resume')
        const beside = await slice()
        const { pending } = await server.ask<ServerState>('pause')
        // The last slice had threads at work for a part of it only.
        if (pending === 0) break
        idle.push(before)
        busy.push(beside)
      }
      await load.ask({ port })
      await uploadAll(port, '/wrong/photos', 200)
      wrong.push(await load.ask<number[]>('stop'))
    }
    const { completed } = await server.ask<ServerState>('pause')
    if (completed !== PHOTOS * ROUNDS) throw new Error(`Only ${completed} photographs were resized.`)
    return findings(idle, busy, wrong)
  } finally {
    await server[Symbol.asyncDispose]()
    await load[Symbol.asyncDispose]()
    rmSync(data, { recursive: true, force: true })
  }
}

function findings(idle: number[][], busy: number[][], wrong: number[][]): Findings {
  const p99 = (slices: number[][]): number => quantile(slices.flat(), 0.99)
  const row = (name: string, slices: number[][]): string[] => {
    const all = slices.flat()
    const at = (share: number): string => amount(quantile(all, share), 'ms')
    return [name, String(all.length), at(0.5), at(0.99), at(1), `${(p99(slices) / p99(idle)).toFixed(2)}x`]
  }
  const ratios = busy.map((slice, at) => quantile(slice, 0.99) / quantile(idle[at] ?? [], 0.99))
  const wrongs = wrong.map((slice) => quantile(slice, 0.99) / p99(idle))
  const one = (median: number): Spread => ({ median, low: median, high: median, samples: 1 })
  return {
    figures: [
      figure('aftertask', 'p99 of idle, all requests', 'x', one(p99(busy) / p99(idle)), { atMost: 3 }),
      figure('aftertask', 'p99 of idle, by pairs of slices', 'x', spread(ratios)),
      figure('the wrong way', 'p99 of idle, all requests', 'x', spread(wrongs)),
    ],
    charts: [],
    grids: [
      {
        title: `GET / at ${RATE} requests a second, beside ${PHOTOS} photographs being resized, ${ROUNDS} times`,
        head: ['beside', 'requests', 'p50', 'p99', 'longest', 'p99 of idle'],
        lines: [row('nothing', idle), row('threads', busy), row('the wrong way', wrong)],
      },
    ],
    notes: [
      `${idle.length} pairs of slices of ${SLICE} ms, idle and beside the threads in turn. A slice alone has too few requests for a steady 99th percentile: the bar is for all of them together.`,
      'The wrong way resizes in the request handler, on the main thread: its load lasts until the twenty are done.',
    ],
  }
}

async function uploadAll(port: number, path: string, expected: number): Promise<void> {
  const upload = async (): Promise<void> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      body: photograph,
      headers: { 'content-type': 'image/jpeg' },
    })
    await response.arrayBuffer()
    if (response.status !== expected) throw new Error(`${path} answered ${response.status}.`)
  }
  await Promise.all(Array.from({ length: PHOTOS }, upload))
}

// ── The processes ────────────────────────────────────────────────────────────────────────────────────────────────────

/** A process of the benchmark. */
class Peer implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>

  constructor(role: 'server' | 'load', env: Record<string, string> = {}) {
    this.#child = fork(fileURLToPath(import.meta.url), [role], {
      env: { ...process.env, ...env },
      execArgv: [],
    })
    this.#exited = once(this.#child, 'exit')
  }

  /** Sends a command and resolves to the answer. */
  async ask<Answer>(command: string | object): Promise<Answer> {
    this.#child.send(command)
    const answer = once(this.#child, 'message') as Promise<[Answer]>
    const said = await Promise.race([answer, this.#exited.then(() => null)])
    if (said === null) throw new Error('A process of the benchmark has ended.')
    return said[0]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.connected) this.#child.disconnect()
    await this.#exited
  }
}

/** The example's own server, with one more route: the wrong way. */
async function serve(): Promise<void> {
  const { photosApp } = await import('../examples/photos/app.ts')
  const { resizePhoto } = await import('../examples/photos/tasks.ts')
  const runtime = createRuntime({ tasks: [resizePhoto], maxPending: 100 })
  const app = photosApp(runtime)
  const { prepareFolders } = await import('../examples/photos/folders.ts')
  const { receive } = await import('../examples/photos/upload.ts')
  const { default: resize } = await import('../examples/photos/workers/resize.ts')
  // The handler itself, but for what only a thread can give it.
  const context = { progress: () => undefined, signal: new AbortController().signal }
  app.post('/wrong/photos', async (req, res) => {
    const photo = await receive(req)
    res.end(JSON.stringify(await resize({ photo }, context as never)))
  })
  await prepareFolders()
  await runtime.ready()
  app.listen(0, '127.0.0.1')
  await once(app.server, 'listening')
  const { port } = app.server.address() as AddressInfo
  // The connections idle between the slices.
  ;(app.server as Server).keepAliveTimeout = 0
  const isBusy = (): boolean => Object.values(runtime.stats().pools).some(({ busy }) => busy > 0)
  process.on('message', async (command: 'pause' | 'resume') => {
    runtime[command]()
    while (command === 'pause' && isBusy()) await setTimeout(5)
    const { pending, completed } = runtime.stats()
    process.send?.({ port, pending, completed } satisfies ServerState)
  })
  process.once('disconnect', () => process.exit(0))
}

/** Asks for / at a constant rate until it is told to stop, and answers with the milliseconds that each request took. */
function makeLoad(): void {
  const request = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
  let idle: Socket[] = []
  const waiting: number[] = []
  let latencies: number[] = []
  let underWay = 0
  let timer: NodeJS.Timeout | undefined
  const send = (socket: Socket, since: number): void => {
    underWay++
    socket.write(request)
    // The answer is one small packet.
    socket.once('data', () => {
      latencies.push(performance.now() - since)
      underWay--
      const next = waiting.shift()
      if (next === undefined) idle.push(socket)
      else send(socket, next)
    })
  }
  const begin = async (port: number): Promise<void> => {
    latencies = []
    if (idle.length === 0) {
      idle = Array.from({ length: CONNECTIONS }, () => connect({ port, host: '127.0.0.1', noDelay: true }))
      await Promise.all(idle.map((socket) => once(socket, 'connect')))
    }
    let due = performance.now()
    timer = setInterval(() => {
      // A request that finds no connection free waits, and its wait counts: a user would wait as well.
      for (const now = performance.now(); due <= now; due += 1000 / RATE) {
        const socket = idle.shift()
        if (socket === undefined) waiting.push(now)
        else send(socket, now)
      }
    }, 1)
    process.send?.('begun')
  }
  const end = async (): Promise<void> => {
    clearInterval(timer)
    while (underWay > 0 || waiting.length > 0) await setTimeout(1)
    process.send?.(latencies)
  }
  process.on('message', (command: { port: number } | 'stop') => {
    if (command === 'stop') void end()
    else void begin(command.port)
  })
  process.once('disconnect', () => process.exit(0))
}

const [, program, part] = process.argv
if (program === fileURLToPath(import.meta.url)) {
  if (part === 'server') await serve()
  else if (part === 'load') makeLoad()
  else console.log(findingsText('Requests beside photographs being resized', await measure()))
}
