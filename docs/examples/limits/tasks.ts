import { defineTask } from 'aftertask'
import { z } from 'zod'

const payload = z.object({ user: z.string(), step: z.string() })
const handler = new URL('./workers/record-step.ts', import.meta.url)

// #region key
export const updateProfile = defineTask({
  name: 'profile.update',
  payload,
  handler,
  key: ({ user }) => `user:${user}`, // one at a time and in order for each user
})
// #endregion key

// #region unique
export const syncMailbox = defineTask({
  name: 'mailbox.sync',
  payload,
  handler,
  unique: ({ user }) => user, // at most one unfinished job for each user
})
// #endregion unique

// #region concurrency
export const callPartner = defineTask({
  name: 'partner.call',
  payload,
  handler,
  pool: 'io',
  concurrency: 5, // of all the jobs of this task
})
// #endregion concurrency
