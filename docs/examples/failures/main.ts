import { createRuntime } from 'aftertask'
import { fetchRate, search } from './tasks.ts'

const runtime = createRuntime({ tasks: [fetchRate, search] })
runtime.on('job:dead', () => {})

// #region retries
runtime.on('job:retrying', ({ job, error }) => console.log(`attempt ${job.attempt}: ${error.message}`))
const rate = runtime.enqueue(fetchRate, { currency: 'EUR' })
console.log(`rate ${await rate.result()}, ${rate.toJSON().attempts} attempts`)
// #endregion retries

// #region unrecoverable
const none = await runtime.enqueue(fetchRate, { currency: 'XXX' }).settled
console.log(`${none.state} after ${none.attempts} attempt: ${none.error?.message}`)
// #endregion unrecoverable

// #region timeouts
for (const polite of [true, false]) {
  const { state, error } = await runtime.enqueue(search, { polite }).settled
  console.log(
    `${state}: ${error?.message} ${error?.cause ? '(it ended by itself)' : '(its thread was ended)'}`,
  )
}
// #endregion timeouts

// #region revive
const { jobs } = await runtime.jobs({ state: 'dead', task: 'rate.fetch' })
const [dead] = jobs
console.log(`revived: ${dead !== undefined && (await runtime.revive(dead.id))}`)
// #endregion revive

await runtime.stop()
