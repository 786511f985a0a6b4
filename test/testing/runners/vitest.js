import { expect, test } from 'vitest'
import 'aftertask/testing/vitest'
import { cases } from './cases.js'

for (const [name, run] of cases) {
  test(name, () =>
    run({
      has: (/** @type {unknown} */ runtime, /** @type {string} */ task, /** @type {unknown} */ payload) =>
        expect(runtime).toHaveJob(task, payload),
      hasNone: (/** @type {unknown} */ runtime, /** @type {string} */ task, /** @type {unknown} */ payload) =>
        expect(runtime).not.toHaveJob(task, payload),
      fails: (act, text) => expect(act).toThrow(text),
    }),
  )
}
