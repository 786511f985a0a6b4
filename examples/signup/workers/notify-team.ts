/** Runs in a thread: tells the team, last of all. */
import type { Handler } from 'aftertask'
import { appendLine, readProfile } from '../files.ts'
import type { notifyTeam } from '../tasks.ts'

const handler: Handler<typeof notifyTeam> = async ({ user }, ctx) => {
  const { name } = await readProfile(user)
  await appendLine('team', { text: `${name} has joined.` })
  ctx.log.info('team notified', { user })
}
export default handler
