/**
 * Every thread of two worker processes burns for minutes, with jobs of more than two leases each. No job may stall or run
 * twice; bare BullMQ with an inline processor, under the same load with the same lock, is the control, and must show both.
 *
 * npm run burn -- --seconds 120
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { type Ashes, burnInline, burnThreads, type Fire } from '../test/brokers/bullmq/burn/sides.ts'
import { type StoreName, storeServer, whyNot } from '../test/kit/store-servers.ts'

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '120' }, lease: { type: 'string', default: '3000' } },
})
const fire: Fire = { seconds: Number(values.seconds), lease: Number(values.lease) }
if (!(fire.seconds > 0 && fire.lease >= 500))
  throw new RangeError('Give --seconds above 0, and --lease of 500 milliseconds or more.')

const sides = { 'aftertask, threads': burnThreads, 'BullMQ, inline (control)': burnInline }
const rows: ({ store: StoreName; side: string } & Ashes)[] = []
for (const store of ['redis', 'postgres'] as const) {
  const reason = whyNot(store)
  if (reason !== undefined) console.log(`${store} is ${reason}`)
  for (const [side, burn] of reason === undefined ? Object.entries(sides) : []) {
    const server = await storeServer(store)
    await server.start()
    rows.push({ store, side, ...(await burn(server.url, fire)) })
    await server.dispose()
  }
}
console.table(rows)
const isGood = rows.every(({ side, stalled, runAgain, unaccounted }) =>
  side.startsWith('aftertask') ? stalled + runAgain + unaccounted === 0 : stalled > 0 && runAgain > 0,
)
console.log(
  isGood
    ? 'No job of ours stalled or ran twice; the control shows both.'
    : 'This is not what it should be: see the table.',
)
const folder = new URL('./results/', import.meta.url)
await mkdir(folder, { recursive: true })
const date = new Date().toISOString().slice(0, 10)
const result = { date, cores: availableParallelism(), ...fire, isGood, rows }
await writeFile(new URL('burn.json', folder), `${JSON.stringify(result, null, 1)}\n`)
process.exitCode = isGood ? 0 : 1
