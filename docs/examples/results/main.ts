import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRuntime } from 'aftertask'
import { sqliteBroker } from 'aftertask/sqlite'
import { serve } from './app.ts'
import { report } from './tasks.ts'

const folder = mkdtempSync(join(tmpdir(), 'results-'))
const file = join(folder, 'jobs.sqlite')

async function start() {
  const runtime = createRuntime({ tasks: [report], broker: sqliteBroker({ file }) })
  const app = serve(runtime)
  app.listen(0, '127.0.0.1')
  await once(app.server, 'listening')
  const { port } = app.server.address() as AddressInfo
  const stop = async () => {
    app.server.close()
    await runtime.stop()
  }
  return { runtime, url: `http://127.0.0.1:${port}`, stop }
}

const first = await start()
const ran = new Promise((resolve) => first.runtime.on('job:completed', resolve))
const accepted = await fetch(`${first.url}/reports/2026-11`, { method: 'POST' })
console.log(accepted.status)
await ran
await first.stop()

const second = await start()
const answer = await fetch(second.url + accepted.headers.get('location'))
console.log(answer.status, await answer.text())
console.log((await fetch(`${second.url}/jobs/unknown`)).status)
await second.stop()
rmSync(folder, { recursive: true })
