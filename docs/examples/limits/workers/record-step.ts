import { setTimeout } from 'node:timers/promises'
import type { Handler } from 'aftertask'
import type { updateProfile } from '../tasks.ts'

const handler: Handler<typeof updateProfile> = async ({ user, step }) => {
  await setTimeout(20)
  return `${user} ${step}`
}
export default handler
