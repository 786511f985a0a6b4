// #region mount
import { createRequestHandler } from '@react-router/express'
import { createRuntime, shutdown } from 'aftertask'
import { afterResponse } from 'aftertask/express'
import express from 'express'
import { reportFailure, sendWelcome } from './tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })
const jobs = afterResponse(runtime)

const app = express()
app.use(jobs)
app.use(express.static('build/client'))
app.use(createRequestHandler({ build: () => import('./build/server/index.js') }))
app.use(jobs.onError())
// #endregion mount

// #region stop
const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
shutdown(server, runtime)
// #endregion stop
