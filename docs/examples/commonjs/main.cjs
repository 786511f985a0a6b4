'use strict'
const path = require('node:path')
const { pathToFileURL } = require('node:url')
const { createRuntime, defineTask } = require('aftertask')
const { z } = require('zod')

const shout = defineTask({
  name: 'text.shout',
  payload: z.string(),
  handler: pathToFileURL(path.join(__dirname, 'workers/shout.cjs')),
})
const runtime = createRuntime({ tasks: [shout] })

runtime
  .enqueue(shout, 'hello')
  .result()
  .then(console.log)
  .then(() => runtime.stop())
