import { expect, test } from 'vitest'
import { expectNode } from '../../src/words/node-version.ts'

test.each(['20.20.2', '22.17.9', '18.0.0'])(
  'Node %s is refused with the version that is needed',
  (version) => {
    expect(() => expectNode(version)).toThrow(
      expect.objectContaining({
        code: 'ERR_NODE_VERSION',
        message: `aftertask needs Node 22.18 or newer; this is ${version}.`,
      }),
    )
  },
)

test.each(['22.18.0', '24.1.0', '26.0.0-nightly'])('Node %s is taken', (version) => {
  expect(() => expectNode(version)).not.toThrow()
})
