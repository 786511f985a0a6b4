/** A function as serverless platforms call it: its process may be frozen as soon as it has answered. */
// #region mount
import { createRuntime } from 'aftertask'
import { bullmqBroker } from 'aftertask/bullmq'
import { reportFailure, sendWelcome } from '../frameworks/tasks.ts'

export const runtime = createRuntime({
  tasks: [sendWelcome, reportFailure],
  broker: bullmqBroker({
    connection: process.env.AFTERTASK_STORE ?? 'redis://127.0.0.1:6379',
    role: 'producer', // no job runs here: `npx aftertask work` runs them, on a machine that stays
  }),
})
// #endregion mount

// #region add
export async function handler(event: { body: string }): Promise<{ statusCode: number; body: string }> {
  try {
    const job = runtime.enqueue('email.welcome', JSON.parse(event.body))
    await job.stored // before the answer: afterwards there may be no time left
    return { statusCode: 202, body: JSON.stringify({ job: job.id }) }
  } catch (error) {
    // #region failures
    const { status = 500, code = 'ERR' } = error as { status?: number; code?: string }
    return { statusCode: status, body: JSON.stringify({ code }) } // 400 for a bad payload, 503 for a store that is down
    // #endregion failures
  }
}
// #endregion add
