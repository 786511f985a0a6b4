/** Runs in a thread: "sends" a mail, into the outbox. */
import type { Handler } from 'aftertask'
import { appendLine, readProfile } from '../files.ts'
import type { sendWelcome } from '../tasks.ts'

const handler: Handler<typeof sendWelcome> = async ({ user }, ctx) => {
  // It is there: this job starts only when the one before it in its batch has ended.
  const { name, email } = await readProfile(user)
  // The job's id stays the same over all attempts, so that a mail server can tell a repetition.
  const mail = `<${ctx.id}@example.com>`
  await appendLine('outbox', { mail, to: email, subject: `Welcome, ${name}!` })
  return { mail }
}
export default handler
