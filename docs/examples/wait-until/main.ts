import { createRuntime } from 'aftertask'
import { note } from '../response/tasks.ts'

const runtime = createRuntime({ tasks: [note] })

async function ship(order: string): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 10))
  if (order === 'lost') throw new Error('the warehouse is closed')
}

// #region wait
runtime.on('promise:rejected', ({ name, error }) => console.log(`${name}: ${error.message}`))

runtime.waitUntil(ship('17'), { name: 'ship 17' })
runtime.waitUntil(ship('lost'), { name: 'ship lost' })
const { unsettled = [] } = await runtime.stop() // waits for both
// #endregion wait
console.log(unsettled)
