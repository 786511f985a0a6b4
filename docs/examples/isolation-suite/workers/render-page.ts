import type { Handler } from 'aftertask'
import type { renderPage } from '../tasks.ts'

const handler: Handler<typeof renderPage> = ({ text }) => {
  Object.assign(globalThis, { title: text.split('\n')[0] }) // the next page on this thread finds it
  process.env['PAGE_LANGUAGE'] = 'de' // and is in German
  return `<p>${text}</p>`
}
export default handler
