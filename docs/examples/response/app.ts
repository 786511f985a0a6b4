import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdtemp, rename, rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { after, createRuntime } from 'aftertask'
import { afterResponse } from 'aftertask/polka'
import polka from 'polka'
import { note, thumbnail } from './tasks.ts'

export const runtime = createRuntime({ tasks: [note, thumbnail], log: false })
export const app = polka()
export const folder = await mkdtemp(join(tmpdir(), 'uploads-'))

// #region middleware
app.use(afterResponse(runtime))
app.use((req, _res, next) => {
  req.after('note', `visit of ${req.originalUrl}`) // for every route
  next()
})
// #endregion middleware

// #region order
app.get('/order', (req, res) => {
  req.after('note', 'fails')
  req.after('note', 'still runs, and runs second')
  res.end('sent before either of them')
})
// #endregion order

// #region when
app.get('/when', (req, res) => {
  req.after('note', 'a good answer') // when: 'ok' is the default
  req.after('note', 'a bad answer', { when: 'error' })
  req.after('note', 'any answer', { when: 'always' })
  req.after('note', 'gone', { when: ({ outcome }) => outcome === 'aborted' })
  res.writeHead(503).end()
})
// #endregion when

// #region refused
app.get('/refused', (req, res) => {
  req.after('note', req.query.text) // throws ERR_PAYLOAD_INVALID without ?text=, and Polka answers 400
  res.end('accepted')
})
// #endregion refused

// #region late
app.get('/late', async (req, res) => {
  res.end('sent')
  await new Promise(setImmediate)
  req.after('note', 'added after the response')
})
// #endregion late

// #region free
app.get('/free', (_req, res) => {
  remember('found through the request that is being handled')
  res.end('ok')
})

function remember(text: string): void {
  after('note', text) // no req at hand
}
// #endregion free

// #region upload
app.post('/upload', async (req, res) => {
  const kept = join(folder, randomUUID())
  await rename(await receive(req), kept) // now the file is ours, and no middleware removes it
  const job = req.after('thumbnail', { file: kept })
  void job.settled.then(() => rm(kept, { force: true }))
  res.writeHead(202).end()
})
// #endregion upload

/** What an upload middleware does: the body is in a temporary file, which goes when the response is over. */
async function receive(req: IncomingMessage): Promise<string> {
  const file = join(folder, `upload-${randomUUID()}`)
  await pipeline(req, createWriteStream(file))
  return file
}
