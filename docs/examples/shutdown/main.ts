import { once } from 'node:events'
import { shutdown } from 'aftertask'
import { app, runtime } from '../response/app.ts'

process.env.PORT ??= '0'
// #region shutdown
app.listen(Number(process.env.PORT ?? 3000))
const ending = shutdown(app.server, runtime, { timeout: 10_000 })
// #endregion shutdown

await once(app.server, 'listening')
runtime.enqueue('note', 'accepted before the signal')
process.kill(process.pid, 'SIGTERM')
const { signal, completed, cut, lost, exitCode } = await ending.done
console.log(signal, completed, cut, lost.length, exitCode)
