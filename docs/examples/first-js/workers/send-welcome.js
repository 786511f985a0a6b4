/** @type {import('aftertask').Handler<typeof import('../tasks.js').sendWelcome>} */
const handler = async ({ to }, ctx) => {
  const letter = `Welcome, ${to}!\n`.repeat(100_000) // this is not the event loop's thread
  ctx.log.info('letter rendered', { to, bytes: letter.length })
}
export default handler
