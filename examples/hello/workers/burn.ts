/** Runs in a thread: computes, then says so. */
import type { Handler } from 'aftertask'
import { burn } from '../five-seconds.ts'
import type { slowBurn } from '../tasks.ts'

const handler: Handler<typeof slowBurn> = ({ status, seconds }, { signal }) => {
  burn(seconds, signal)
  console.log(`All done, status ${status}`)
}
export default handler
