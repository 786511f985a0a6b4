// #region mount
import { createRuntime } from 'aftertask'
import { reportFailure, sendWelcome } from './tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })
// #endregion mount

// #region stop
// `next start` would end the process without waiting for jobs: NEXT_MANUAL_SIG_HANDLE=true leaves that to this listener.
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, async () => {
    const { lost } = await runtime.stop({ timeout: 10_000 })
    process.exit(lost.length > 0 ? 1 : 0)
  })
}
// #endregion stop
