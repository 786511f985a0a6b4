/** Photographs: the upload is answered at once, and a thread makes three sizes of it. */
import { listen } from '../listen.ts'
import { app, runtime } from './app.ts'
import { prepareFolders } from './folders.ts'

await prepareFolders()
const address = await listen(app, runtime)
console.log(`
photos listens on ${address}. Try, in another terminal:

  curl -H 'content-type: image/jpeg' --data-binary @examples/photos/fixtures/dandelion.jpg ${address}/photos
  curl ${address}/jobs/JOB            state, progress and result of the job that you were told
  curl -o small.jpg ${address}/photos/PHOTO/small
`)
