import { createRuntime } from 'aftertask'
import { brokerContract } from 'aftertask/broker-contract'
import { smallBroker } from './small-broker.ts'
import { double } from './tasks.ts'

// #region contract
for (const { name, run } of brokerContract({ name: 'small', make: smallBroker, survives: false })) {
  await run().catch((cause: unknown) => {
    throw new Error(name, { cause })
  })
}
console.log('the contract holds')
// #endregion contract

// #region use
const runtime = createRuntime({ tasks: [double], broker: smallBroker() })
console.log(await runtime.enqueue(double, 21).result())
await runtime.stop()
// #endregion use
