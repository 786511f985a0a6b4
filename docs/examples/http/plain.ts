import { createServer } from 'node:http'
import { createRuntime } from 'aftertask'
import { afterResponse, failed } from 'aftertask/http'
import { note } from '../response/tasks.ts'

export const runtime = createRuntime({ tasks: [note] })

// #region plain
const jobs = afterResponse(runtime)

export const server = createServer((req, res) => {
  jobs(req, res)
  req.after('note', 'from node:http')
  try {
    if (req.url === '/wrong') throw new Error('wrong')
    res.end('ok')
  } catch (error) {
    failed(res, error) // answered with 400, yet it failed: jobs with `when: 'ok'` are skipped
    res.writeHead(400).end()
  }
})
// #endregion plain
