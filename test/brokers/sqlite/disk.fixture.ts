/** A server of a journal whose disk is in trouble: it does what it is told over IPC, and says how that went. */
import { sqliteBroker } from '../../../src/brokers/sqlite.ts'
import { createRuntime } from '../../../src/index.ts'
import { echo } from './tasks.fixture.ts'

const [file = ''] = process.argv.slice(2)
const broker = sqliteBroker({ file })
const runtime = createRuntime({ tasks: [echo], broker, pool: { threads: 1 }, log: false })

const commands: Record<string, (argument: unknown) => unknown> = {
  ready: () => runtime.ready(),
  store: (payload) => runtime.enqueue(echo, payload).stored,
  run: (payload) => runtime.enqueue(echo, payload).result(),
  stats: () => runtime.stats(),
  stop: () => runtime.stop({ timeout: 1000 }),
}

process.on('message', async ([number, command, argument]: [number, string, unknown]) => {
  try {
    process.send?.([number, null, await commands[command]?.(argument)])
  } catch (error) {
    const { code, reason, status, message } = error as Record<string, unknown>
    process.send?.([number, { code, reason, status, message }, null])
  }
  if (command === 'stop') process.disconnect()
})
