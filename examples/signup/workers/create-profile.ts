/** Runs in a thread: the first of the three, on which the others build. */
import type { Handler } from 'aftertask'
import { UnrecoverableError } from 'aftertask/errors'
import { claimEmail, saveProfile } from '../files.ts'
import type { createProfile } from '../tasks.ts'

const handler: Handler<typeof createProfile> = async ({ user, name, email }) => {
  // Another attempt would find the same: the job is dead at once, and those behind it are skipped.
  if (!(await claimEmail(email, user))) throw new UnrecoverableError('This email address is taken.')
  await saveProfile({ user, name, email })
}
export default handler
