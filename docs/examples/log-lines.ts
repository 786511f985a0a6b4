import { createRuntime } from 'aftertask'
import { countPrimes } from './events/tasks.ts'

const tasks = [countPrimes]

// #region logger
const runtime = createRuntime({
  tasks,
  log: ({ level, message, job, data }) => console.log(`${level} ${job?.name}: ${message}`, data),
})
// #endregion logger

await runtime.enqueue(countPrimes, { below: 10_000 }).settled
await runtime.stop()
