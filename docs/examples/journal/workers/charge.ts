import type { Handler } from 'aftertask'
import type { charge } from '../tasks.ts'

// The id of the job is the same in every attempt: whoever takes the money can tell a repeat from a new order.
const handler: Handler<typeof charge> = async ({ order, cents }, ctx) => {
  const receipt = await takeMoney({ order, cents, idempotencyKey: ctx.id })
  return { receipt }
}
export default handler

async function takeMoney({
  order,
  cents,
}: {
  order: string
  cents: number
  idempotencyKey: string
}): Promise<string> {
  return `${order}: ${cents / 100} EUR`
}
