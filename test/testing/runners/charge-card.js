/** @type {import('aftertask').Handler} */
export default ({ order }, ctx) => {
  if (ctx.attempt === 1) throw new Error('the bank is asleep')
  return `receipt of ${order}, attempt ${ctx.attempt}`
}
