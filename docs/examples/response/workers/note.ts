import type { Handler } from 'aftertask'
import type { note } from '../tasks.ts'

const handler: Handler<typeof note> = (text) => {
  if (text === 'fails') throw new Error('no')
  return text
}
export default handler
