import { once } from 'node:events'
import { readdir, rmdir } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { app, folder, runtime } from './app.ts'

app.listen(0)
await once(app.server, 'listening')
const { port } = app.server.address() as AddressInfo

let lines: string[] = []
runtime.on('job:completed', ({ result }) => lines.push(`ran: ${result}`))
runtime.on('job:skipped', ({ reason }) => lines.push(`skipped: ${reason}`))
runtime.on('job:dead', ({ error }) => lines.push(`dead: ${error.message}`))

for (const path of ['order', 'when', 'refused', 'refused?text=hello', 'late', 'free', 'nowhere', 'upload']) {
  lines = []
  const sent = path === 'upload' ? { method: 'POST', body: 'a photo' } : {}
  const response = await fetch(`http://127.0.0.1:${port}/${path}`, sent)
  await response.text()
  await idle()
  console.log([`${path} ${response.status}`, ...lines].join('\n  '))
}
app.server.close()
await runtime.stop()
while ((await readdir(folder)).length > 0) await new Promise(setImmediate) // the file goes when its job is over
await rmdir(folder)

/** Resolves when no job is unfinished. */
async function idle(): Promise<void> {
  await new Promise(setImmediate)
  while (runtime.stats().pending > 0) {
    await new Promise<unknown>((resolve) => {
      for (const end of ['job:completed', 'job:skipped', 'job:dead'] as const) runtime.on(end, resolve)
    })
  }
}
