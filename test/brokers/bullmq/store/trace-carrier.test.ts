import { expect, test } from 'vitest'
import { toStored } from '../../../../src/brokers/bullmq/store/bullmq-jobs.ts'

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const carrier = JSON.stringify({ tm: JSON.stringify({ traceparent, tracestate: 'a=b' }) })

function contextOf(data: string, opts: unknown): unknown {
  return toStored('q', '1', { name: 'x', data, timestamp: 0, opts }, 'wait', 0).data.context
}

test('a job that another producer of BullMQ has added comes with the trace that its telemetry carries', () => {
  expect(contextOf('{"payload":1}', carrier)).toEqual({ traceparent })
})

test('over PostgreSQL as well, where BullMQ has options as they are', () => {
  const telemetry = { metadata: JSON.stringify({ traceparent }) }
  expect(contextOf('{"payload":1}', { telemetry })).toEqual({ traceparent })
})

test('the context that this library has written goes before that of BullMQ', () => {
  expect(contextOf('{"aftertask":{"context":{"requestId":"r"}},"payload":1}', carrier)).toEqual({
    requestId: 'r',
  })
})

test.each([
  undefined,
  '{}',
  'no json "tm"',
  '{"tm":"no json"}',
  '{"tm":"[]"}',
  '{"tm":1}',
  '{"tm":"{\\"traceparent\\":1}"}',
])('options %s carry no trace', (opts) => {
  expect(contextOf('{"payload":1}', opts)).toBeUndefined()
})
