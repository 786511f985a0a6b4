import type { Handler } from 'aftertask'
import type { sendWelcome } from '../tasks.ts'

const handler: Handler<typeof sendWelcome> = async ({ to }, ctx) => {
  const letter = renderLetter(to) // as much CPU as it takes: this is not the event loop's thread
  ctx.log.info('letter rendered', { to, bytes: letter.length })
}
export default handler

function renderLetter(to: string): string {
  return `Welcome, ${to}!\n`.repeat(100_000)
}
