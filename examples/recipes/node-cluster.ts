/** node:cluster: several processes on one port, each with a runtime of its own. */
// #region mount
import cluster from 'node:cluster'
import { createServer } from 'node:http'
import { availableParallelism } from 'node:os'
import { createRuntime, shutdown } from 'aftertask'
import { afterResponse } from 'aftertask/http'
import { reportFailure, sendWelcome } from '../frameworks/tasks.ts'

if (cluster.isPrimary) lead(Number(process.env.PROCESSES ?? availableParallelism()))
else serve()

/** Every process has threads of its own: one each, as there are as many processes as processors. */
function serve(): void {
  const runtime = createRuntime({
    tasks: [sendWelcome, reportFailure],
    pool: { threads: 1 },
    pools: { io: {} },
  })
  const jobs = afterResponse(runtime)
  // #region add
  const server = createServer((req, res) => {
    jobs(req, res)
    const job = req.after('email.welcome', { to: 'a@b.dev' })
    res.end(`${process.pid} ${job.id}`)
  })
  // #endregion add
  server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
  shutdown(server, runtime)
}
// #endregion mount

// #region stop
function lead(processes: number): void {
  let isStopping = false
  const stop = (signal: NodeJS.Signals): void => {
    isStopping = true
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill(signal)
  }
  // Each process ends when its own responses and jobs are over, and this one after the last of them.
  process.once('SIGTERM', stop).once('SIGINT', stop)
  cluster.on('exit', (_worker, code) => {
    if (code !== 0) process.exitCode = 1 // jobs were lost
    if (!isStopping) cluster.fork()
  })
  for (let index = 0; index < processes; index++) cluster.fork()
}
// #endregion stop
