import type { Handler } from 'aftertask'
import type { chargeCard } from './tasks.ts'

const handler: Handler<typeof chargeCard> = ({ order }, ctx) => {
  ctx.log.info('charging', { order })
  if (ctx.attempt === 1) throw new Error('the bank is asleep')
  return { receipt: `receipt of ${order}` }
}
export default handler
