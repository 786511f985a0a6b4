// #region mount
import { createServer } from 'node:http'
import { createRuntime, shutdown } from 'aftertask'
import { afterResponse } from 'aftertask/http'
import { handler } from './build/handler.js'
import { reportFailure, sendWelcome } from './tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })
const jobs = afterResponse(runtime)
// #endregion mount

// #region stop
const server = createServer((req, res) => jobs(req, res, () => handler(req, res)))
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
shutdown(server, runtime)
// #endregion stop
