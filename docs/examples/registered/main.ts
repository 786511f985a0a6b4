import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterResponse } from 'aftertask/polka'
import polka from 'polka'
import { runtime } from './runtime.ts'

const app = polka().use(afterResponse(runtime))

// #region names
app.post('/orders', (req, res) => {
  const job = req.after('receipt.send', { order: 7 }) // the name and the payload are checked by the compiler
  res.end(job.id)
})

app.post('/typo', (req, res) => {
  // @ts-expect-error: there is no such task
  req.after('receipt.sent', { order: 7 })
  res.end()
})
// #endregion names

app.listen(0)
await once(app.server, 'listening')
const { port } = app.server.address() as AddressInfo
const receipt = new Promise((resolve) => runtime.on('job:completed', ({ result }) => resolve(result)))
for (const path of ['orders', 'typo']) {
  const { status } = await fetch(`http://127.0.0.1:${port}/${path}`, { method: 'POST' })
  console.log(path, status)
}
console.log(await receipt)
app.server.close()
await runtime.stop()
