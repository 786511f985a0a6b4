/** The server's routes: upload a photograph, follow its job, fetch the sizes. */
import { open } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { QueueFullError, type Runtime } from 'aftertask'
import { afterResponse } from 'aftertask/polka'
import polka, { type ErrorHandler, type IError, type Polka, type Response } from 'polka'
import { z } from 'zod'
import { discard, jpegIn, photoFolder } from './folders.ts'
import { resizePhoto, sizes } from './tasks.ts'
import { receive } from './upload.ts'

/** The app over a runtime: the server's, or that of a test. */
export function photosApp(runtime: Runtime): Polka {
  const app = polka({ onError: answerError }).use(afterResponse(runtime))

  app.get('/', (_req, res) => {
    answer(res, 200, { upload: 'POST /photos', job: 'GET /jobs/:id', photo: 'GET /photos/:id/:size' })
  })

  app.post('/photos', async (req, res) => {
    const photo = await receive(req)
    try {
      const job = req.after(resizePhoto, { photo })
      // The handler cleans up behind itself. This is for a job that never ran, or whose thread was ended.
      void job.settled.then(() => discard(photo))
      res.setHeader('location', `/jobs/${job.id}`)
      answer(res, 202, { job: job.id, photo })
    } catch (error) {
      await discard(photo)
      throw error
    }
  })

  app.get('/jobs/:id', async (req, res) => {
    const job = await runtime.job(req.params.id ?? '')
    if (job === undefined) return answer(res, 404, { error: 'There is no such job.' })
    const { id, state, progress, result, error } = job
    answer(res, 200, { id, state, progress, result, error: error?.message })
  })

  app.get('/photos/:id/:size', async (req, res) => {
    const { id = '', size = '' } = req.params
    // An id that the server drew and a size that it knows: no other text gets near a path.
    const isKnown = z.uuid().safeParse(id).success && (Object.hasOwn(sizes, size) || size === 'original')
    const file = isKnown ? await open(jpegIn(photoFolder(id), size)).catch(() => null) : null
    if (file === null) return answer(res, 404, { error: 'There is no such photograph, or not yet.' })
    const { size: bytes } = await file.stat()
    res.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': bytes })
    await pipeline(file.createReadStream(), res)
  })
  return app
}

function answer(res: Response, status: number, body: object): void {
  res.writeHead(status, { 'content-type': 'application/json' })
  res.end(`${JSON.stringify(body)}\n`)
}

function answerError(...[error, _req, res]: Parameters<ErrorHandler>): void {
  // The client has gone, or has half of a photograph already: there is nobody to explain it to.
  if (res.destroyed || res.headersSent) return void res.destroy()
  if (error instanceof QueueFullError) {
    res.setHeader('retry-after', error.retryAfter)
    return answer(res, 503, { error: 'Too many photographs are waiting. Try again later.' })
  }
  const { status = 500, message }: IError = typeof error === 'string' ? new Error(error) : error
  if (status >= 500) console.error(error)
  answer(res, status, { error: status < 500 ? message || 'There is nothing here.' : 'Something went wrong.' })
}
