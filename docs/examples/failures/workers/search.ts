import type { Handler } from 'aftertask'
import type { search } from '../tasks.ts'

const handler: Handler<typeof search> = ({ polite }, ctx) => {
  for (;;) {
    // Works in a loop that never awaits: the signal looks at shared memory.
    if (polite) ctx.signal.throwIfAborted()
  }
}
export default handler
