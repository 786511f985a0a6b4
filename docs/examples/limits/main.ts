import { createRuntime, QueueFullError } from 'aftertask'
import { callPartner, syncMailbox, updateProfile } from './tasks.ts'

// #region runtime
const runtime = createRuntime({
  tasks: [callPartner, syncMailbox, updateProfile],
  maxPending: 20, // accepted, unfinished jobs; the default is 100,000
  pool: { threads: 2 },
  pools: {
    io: { threads: 1, concurrency: 50 }, // one thread, many jobs that mostly wait
  },
})
// #endregion runtime
await runtime.ready()

// #region key-order
const print = ({ result }: { result: unknown }): void => console.log(result)
runtime.on('job:completed', print)
runtime.enqueue('profile.update', { user: 'ada', step: '1' })
runtime.enqueue('profile.update', { user: 'ada', step: '2' })
await runtime.enqueue('profile.update', { user: 'ada', step: '3' }).settled
// #endregion key-order

// #region unique-job
const first = runtime.enqueue('mailbox.sync', { user: 'ada', step: 'sync' })
const second = runtime.enqueue('mailbox.sync', { user: 'ada', step: 'sync again' })
console.log(first.id === second.id)
await second.settled
// #endregion unique-job

runtime.off('job:completed', print)

// #region full
try {
  for (;;) runtime.enqueue('partner.call', { user: 'ada', step: 'call' })
} catch (error) {
  if (!(error instanceof QueueFullError)) throw error
  console.log(`${error.code}, status ${error.status}, retry after a while: ${error.retryAfter > 0}`)
}
console.log(runtime.tryEnqueue('partner.call', { user: 'ada', step: 'call' }))
// #endregion full

const { completed } = await runtime.stop()
console.log(`${completed} completed while stopping`)
