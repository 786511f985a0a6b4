/**
 * The load, in a process of its own so that it costs the measured event loop nothing: raw keep-alive sockets, one
 * request under way on each. A response is counted by its length, which is learned from the first one.
 */
import { connect, type Socket } from 'node:net'
import type { Load, Loaded } from './load.ts'
import { quantile } from './statistics.ts'

const PATIENCE = 30_000

interface Line {
  readonly socket: Socket
  /** Bytes of the current response that have arrived, and when its request was sent. */
  got: number
  sentAt: number
}

const lines = new Map<number, Line[]>()

process.on('message', (load: Load) => {
  run(load).then(
    (loaded) => process.send?.(loaded),
    (error: unknown) => {
      console.error(error)
      process.exit(1)
    },
  )
})
process.on('disconnect', () => process.exit(0))

async function run({ port, path, milliseconds, connections }: Load): Promise<Loaded> {
  const request = `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
  const open = (lines.get(port) ?? []).filter(({ socket }) => !socket.destroyed)
  while (open.length < connections) open.push(await dial(port))
  lines.set(port, open)
  const length = await learn(open[0] as Line, request)
  const latencies: number[] = []
  const began = performance.now()
  const end = began + milliseconds
  let within = 0
  await Promise.race([
    Promise.all(
      open.map((line) =>
        keepAsking(line, request, length, (now) => {
          latencies.push(now - line.sentAt)
          if (now <= end) within++
          return now < end
        }),
      ),
    ),
    overdue(milliseconds + PATIENCE),
  ])
  return {
    requests: latencies.length,
    perSecond: (within * 1000) / milliseconds,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    endedAt: performance.timeOrigin + performance.now(),
  }
}

function keepAsking(
  line: Line,
  request: string,
  length: number,
  onResponse: (now: number) => boolean,
): Promise<void> {
  const { socket } = line
  return new Promise((resolve, reject) => {
    const onClose = (): void => reject(new Error('The server closed a connection under load.'))
    const onData = (chunk: Buffer): void => {
      line.got += chunk.length
      if (line.got < length) return
      line.got = 0
      if (onResponse(performance.now())) return ask()
      socket.off('data', onData)
      socket.off('close', onClose)
      resolve()
    }
    const ask = (): void => {
      line.sentAt = performance.now()
      socket.write(request)
    }
    socket.on('data', onData)
    socket.on('close', onClose)
    ask()
  })
}

function dial(port: number): Promise<Line> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      socket.on('error', () => socket.destroy())
      resolve({ socket, got: 0, sentAt: 0 })
    })
  })
}

/** Sends one request and reads its whole response: its length, headers included. */
function learn({ socket }: Line, request: string): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = ''
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1')
      const head = text.indexOf('\r\n\r\n')
      if (head === -1) return
      if (!text.startsWith('HTTP/1.1 200')) return reject(new Error(`Not a 200: ${text.slice(0, 80)}`))
      const body = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? Number.NaN)
      if (Number.isNaN(body)) return reject(new Error('A response without a content-length.'))
      if (text.length < head + 4 + body) return
      socket.off('data', onData)
      resolve(text.length)
    }
    socket.on('data', onData)
    socket.write(request)
  })
}

function overdue(milliseconds: number): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error('The server does not answer.')), milliseconds).unref()
  })
}
