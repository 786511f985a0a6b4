import type { Handler } from 'aftertask'
import type { report } from '../tasks.ts'

const handler: Handler<typeof report> = (_, { log }) => {
  log.info('half way', { rows: 500 })
  console.log('nearly there')
}
export default handler
