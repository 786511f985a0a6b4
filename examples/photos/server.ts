/** Photographs: the upload is answered at once, and a thread makes three sizes of it. */
import { createRuntime } from 'aftertask'
import { listen } from '../listen.ts'
import { photosApp } from './app.ts'
import { prepareFolders } from './folders.ts'
import { resizePhoto } from './tasks.ts'

await prepareFolders()
// Every waiting photograph is a file on the disk, so few may wait: the next client is told to come back later.
const runtime = createRuntime({ tasks: [resizePhoto], maxPending: 100 })
const address = await listen(photosApp(runtime), runtime)
console.log(`
photos listens on ${address}. Try, in another terminal:

  curl -H 'content-type: image/jpeg' --data-binary @examples/photos/fixtures/dandelion.jpg ${address}/photos
  curl ${address}/jobs/JOB            state, progress and result of the job that you were told
  curl -o small.jpg ${address}/photos/PHOTO/small
`)
