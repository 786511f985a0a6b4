/**
 * Every thread of two worker processes burns for minutes, with jobs of more than two leases each. No job may stall or run
 * twice; bare BullMQ with an inline processor, under the same load with the same lock, is the control, and must show both.
 *
 * npm run burn -- --seconds 120
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { type Ashes, burnInline, burnThreads, type Fire } from '../test/brokers/bullmq/burn/sides.ts'
import { type StoreName, storeServer, whyNot } from '../test/kit/store-servers.ts'

interface Row extends Ashes {
  readonly store: StoreName
  readonly side: string
}

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '120' },
    lease: { type: 'string', default: '3000' },
    store: { type: 'string', multiple: true, default: ['redis', 'postgres'] },
  },
})
const fire: Fire = { seconds: Number(values.seconds), lease: Number(values.lease) }
if (!(fire.seconds > 0 && fire.lease >= 500))
  throw new RangeError('Give --seconds above 0, and --lease of 500 milliseconds or more.')

const sides = { 'aftertask, threads': burnThreads, 'BullMQ, inline (control)': burnInline }
const results = new URL('./results/', import.meta.url)
const file = new URL('burn.json', results)
mkdirSync(results, { recursive: true })

for (const store of values.store as StoreName[]) {
  const reason = whyNot(store)
  if (reason !== undefined) {
    console.log(`${store} is ${reason}`)
    continue
  }
  const rows: Row[] = []
  for (const [side, burn] of Object.entries(sides)) {
    const server = await storeServer(store)
    await server.start()
    rows.push({ store, side, ...(await burn(server.url, fire)) })
    await server.dispose()
  }
  console.table(rows)
  if (!rows.every(isGood)) process.exitCode = 1
  keep(store, rows)
}
console.log(
  process.exitCode === 1
    ? 'This is not what it should be: see the table.'
    : 'No job of ours stalled or ran twice; the control shows both.',
)

function isGood({ side, stalled, runAgain, unaccounted }: Row): boolean {
  if (side.startsWith('aftertask')) return stalled + runAgain + unaccounted === 0
  return stalled > 0 && runAgain > 0
}

/** In the place of what the last run over this store has left. */
function keep(store: StoreName, rows: readonly Row[]): void {
  let kept: Record<string, object> = {}
  try {
    kept = JSON.parse(readFileSync(file, 'utf8')) as typeof kept
  } catch {
    // It is the first run.
  }
  kept[store] = { date: new Date().toISOString().slice(0, 10), cores: availableParallelism(), ...fire, rows }
  writeFileSync(file, `${JSON.stringify(kept, null, 1)}\n`)
}
