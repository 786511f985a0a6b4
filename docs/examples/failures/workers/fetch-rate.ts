import type { Handler } from 'aftertask'
import { UnrecoverableError } from 'aftertask/errors'
import type { fetchRate } from '../tasks.ts'

const handler: Handler<typeof fetchRate> = ({ currency }, ctx) => {
  if (currency === 'XXX') throw new UnrecoverableError('There is no such currency.')
  if (ctx.attempt < 3) throw Object.assign(new Error('bad gateway'), { code: 'EBADGATEWAY' })
  return 1.25
}
export default handler
