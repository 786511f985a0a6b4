/** Socket.IO beside HTTP: events have no response, requests have one. */
// #region mount
import { createServer } from 'node:http'
import { createRuntime, shutdown } from 'aftertask'
import { afterResponse } from 'aftertask/http'
import { Server } from 'socket.io'
import { reportFailure, sendWelcome } from '../frameworks/tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })
const jobs = afterResponse(runtime)
export const server = createServer((req, res) => {
  jobs(req, res)
  res.end(req.after('email.welcome', { to: 'http@b.dev' }).id)
})
const io = new Server(server)
// #endregion mount

// #region add
io.on('connection', (socket) => {
  socket.on('signup', (payload, acknowledge) => {
    try {
      acknowledge({ job: runtime.enqueue('email.welcome', payload).id }) // at once
    } catch (error) {
      acknowledge({ code: (error as { code?: string }).code }) // such as ERR_PAYLOAD_INVALID
    }
  })
})
// #endregion add

// #region stop
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
export const stopping = shutdown(server, runtime)
/** Sockets never end by themselves. `io.close()` would close the server as well, which is the business of `shutdown`. */
export function goAway(): void {
  io.disconnectSockets(true)
}
process.once('SIGTERM', goAway).once('SIGINT', goAway)
// #endregion stop
