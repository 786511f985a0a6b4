/** What happens after a signup, as three tasks. The server adds them in this order, and they run in it. */
import { defineTask } from 'aftertask'
import { z } from 'zod'

/** What a client sends to sign up. */
export const signup = z.strictObject({
  name: z.string().trim().min(1).max(100),
  email: z.email().toLowerCase(),
})

const payload = signup.extend({ user: z.uuid() })

export const createProfile = defineTask({
  name: 'signup.profile',
  payload,
  handler: new URL('./workers/create-profile.ts', import.meta.url),
})

export const sendWelcome = defineTask({
  name: 'signup.welcome',
  payload: payload.pick({ user: true }),
  result: z.object({ mail: z.string() }),
  handler: new URL('./workers/send-welcome.ts', import.meta.url),
  // Mail servers have bad minutes. The tasks behind this one wait until it is done, or dead.
  retry: { maxAttempts: 3, backoff: { delay: 200 } },
})

export const notifyTeam = defineTask({
  name: 'signup.notify',
  payload: payload.pick({ user: true }),
  handler: new URL('./workers/notify-team.ts', import.meta.url),
})
