// #region mount
import { createServer } from 'node:http'
import { createRuntime, shutdown } from 'aftertask'
import { afterResponse } from 'aftertask/http'
import next from 'next'
import { reportFailure, sendWelcome } from './tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })
const jobs = afterResponse(runtime)

const app = next({ dev: process.env.NODE_ENV === 'development' })
const handle = app.getRequestHandler()
await app.prepare()
// #endregion mount

// #region stop
const server = createServer((req, res) => jobs(req, res, () => handle(req, res)))
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
shutdown(server, runtime)
// #endregion stop
