import type { Handler } from 'aftertask'
import type { makeReport } from '../tasks.ts'

const handler: Handler<typeof makeReport> = async ({ month, pages }, ctx) => {
  for (let page = 1; page <= pages; page++) {
    ctx.signal.throwIfAborted() // ends the attempt when it was cancelled or has timed out
    await writePage(month, page)
    ctx.progress(page / pages)
  }
  ctx.log.info('report written', { month, pages })
  await ctx.enqueue('files.clean-up')
  return { title: `Report of ${month}`, pages }
}
export default handler

async function writePage(_month: string, _page: number): Promise<void> {}
