import { createRuntime } from 'aftertask'
import * as tasks from './tasks.ts'

// #region runtime
const runtime = createRuntime({ tasks })
await runtime.ready() // rejects when a handler's file or export is missing
// #endregion runtime

runtime.on('job:log', ({ job, level, message }) => console.log(`${level} ${job.name}: ${message}`))

// #region result
const report = runtime.enqueue('report.make', { month: '2026-10' })
const { title, pages } = await report.result() // typed by the result schema
console.log(`${title}: ${pages} pages, progress ${report.progress}`)
// #endregion result

// #region transfer
const pixels = new Uint8Array([0, 100, 255])
const image = runtime.enqueue('image.invert', { pixels }, { transfer: [pixels.buffer] })
console.log(`${pixels.byteLength} bytes are left here`) // moved, not copied
console.log(await image.result())
// #endregion transfer

await runtime.stop()
