import { throws } from 'node:assert/strict'
import { test } from 'node:test'
import 'aftertask/testing/node'
import { cases } from './cases.js'

for (const [name, run] of cases) {
  test(name, async ({ assert }) => {
    await run({
      has: assert.hasJob,
      hasNone: assert.hasNoJob,
      fails: (act, text) => throws(act, (/** @type {Error} */ { message }) => message.includes(text)),
    })
  })
}
