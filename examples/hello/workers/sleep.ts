/** Runs in a thread: sleeps, then says so. */
import type { Handler } from 'aftertask'
import { sleep } from '../five-seconds.ts'
import type { slowSleep } from '../tasks.ts'

const handler: Handler<typeof slowSleep> = async ({ status, seconds }, { signal }) => {
  await sleep(seconds, signal)
  console.log(`All done, status ${status}`)
}
export default handler
