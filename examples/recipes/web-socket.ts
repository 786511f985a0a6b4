/** WebSockets beside HTTP, with `ws`: messages have no response, requests have one. */
// #region mount
import { createServer } from 'node:http'
import { createRuntime, shutdown } from 'aftertask'
import { afterResponse } from 'aftertask/http'
import { WebSocketServer } from 'ws'
import { reportFailure, sendWelcome } from '../frameworks/tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })
const jobs = afterResponse(runtime)
export const server = createServer((req, res) => {
  jobs(req, res)
  const job = req.after('email.welcome', { to: 'http@b.dev' }) // once the response is out
  res.end(job.id)
})
const sockets = new WebSocketServer({ server })
// #endregion mount

// #region add
sockets.on('connection', (socket) => {
  socket.on('message', (data) => {
    try {
      const job = runtime.enqueue('email.welcome', JSON.parse(String(data))) // at once
      socket.send(JSON.stringify({ job: job.id }))
      void job.settled.then(({ state }) => socket.send(JSON.stringify({ job: job.id, state })))
    } catch (error) {
      // #region failures
      const { code = 'ERR', message } = error as Error & { code?: string }
      socket.send(JSON.stringify({ code, message })) // such as ERR_PAYLOAD_INVALID, ERR_QUEUE_FULL
      // #endregion failures
    }
  })
})
// #endregion add

// #region stop
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
export const stopping = shutdown(server, runtime)
/** A WebSocket never ends by itself: one that nobody closes is cut off when three quarters of the time are over. */
export function goAway(): void {
  for (const socket of sockets.clients) socket.close(1001, 'The server stops')
}
process.once('SIGTERM', goAway).once('SIGINT', goAway)
// #endregion stop
