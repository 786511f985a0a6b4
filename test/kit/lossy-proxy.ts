/** A way to a server on which answers can get lost. */
import { connect, createServer } from 'node:net'
import { listen } from './serve.ts'

/** Passes everything on, but for what it is told to lose. */
export interface LossyProxy {
  /** The same URL, by way of the proxy. */
  readonly url: string
  /**
   * The answer to the next message with this text in it is not passed on, once the server has given it: the connection is
   * cut instead. Resolves then.
   */
  loseAnswerTo(text: string): Promise<void>
}

/** A proxy before the server of a URL; gone when the test is over. */
export async function lossyProxy(url: string): Promise<LossyProxy> {
  const to = new URL(url)
  const there = { host: to.hostname, port: Number(to.port) }
  let lost: { text: string; done: () => void } | undefined
  const server = createServer((client) => {
    const upstream = connect(there)
    let losing: (() => void) | undefined
    client.on('data', (chunk) => {
      if (lost !== undefined && chunk.includes(lost.text)) {
        losing = lost.done
        lost = undefined
      }
      upstream.write(chunk)
    })
    upstream.on('data', (chunk) => {
      if (losing === undefined) return void client.write(chunk)
      client.destroy()
      losing()
    })
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => {})
      one.on('close', () => other.destroy())
    }
  })
  to.port = String(await listen(server))
  return {
    url: to.href,
    loseAnswerTo: (text) => {
      const { promise, resolve } = Promise.withResolvers<void>()
      lost = { text, done: resolve }
      return promise
    },
  }
}
