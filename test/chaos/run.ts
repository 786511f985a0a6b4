/**
 * Chaos: four processes over each store, at random killed, told to stop, made to stand still and started anew with wrong
 * clocks and other tasks, while their store is stopped, hangs, is cut off, full, read-only, or gone. A witness of its own
 * judges by what handlers and adding processes have noted in files: see `judge.ts` for what it holds them to.
 *
 * npm run chaos -- --minutes 20
 * npm run chaos -- --minutes 2 --store postgres --seed 7
 *
 * The minutes are shared out among the stores. The seed fixes what is done and for how long, not how the processes answer.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { seeded } from '../simulation/random.ts'
import { drawChaos } from './chart.ts'
import { type Outcome, playOver, STORES, type Store, whyNotOver } from './scene.ts'
import type { Deed } from './trail.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    store: { type: 'string', multiple: true, default: [...STORES] },
  },
})
const minutes = Number(values.minutes)
const seed = Number(values.seed)
if (!(minutes > 0)) throw new RangeError(`--minutes is ${values.minutes}; give a number above 0, such as 20.`)
if (!Number.isInteger(seed)) throw new RangeError(`--seed is ${values.seed}; give a whole number.`)
for (const store of values.store) {
  if (!STORES.includes(store as Store))
    throw new RangeError(`--store is ${store}; give one of ${STORES.join(', ')}.`)
}
const stores = (values.store as Store[]).filter((store) => {
  const reason = whyNotOver(store)
  if (reason !== undefined) console.log(`${store} is ${reason}`)
  return reason === undefined
})

console.log(`npm run chaos -- --minutes ${minutes} --seed ${seed}`)
const outcomes: Outcome[] = []
const rows: object[] = []
for (const [index, store] of stores.entries()) {
  const outcome = await playOver(store, (minutes * 60_000) / stores.length, seeded(seed + index))
  outcomes.push(outcome)
  const { faults, again, ...figures } = outcome.verdict
  const load = Math.round(loadavg()[0] ?? 0)
  rows.push({
    store,
    ...figures,
    again: Object.values(again).reduce((sum, count) => sum + count, 0),
    faults: faults.length,
    load,
  })
  console.log(store, JSON.stringify(again), JSON.stringify(deedsOf(outcome.deeds)))
  for (const fault of faults) console.log(`${store}: ${fault}`)
}
console.table(rows)

const folder = new URL('../../bench/results/', import.meta.url)
await mkdir(folder, { recursive: true })
const result = {
  ...{ date: new Date().toISOString().slice(0, 10), minutes, seed },
  stores: outcomes.map(({ store, verdict, deeds }) => ({ store, ...verdict, done: deedsOf(deeds) })),
}
await writeFile(new URL('chaos.json', folder), `${JSON.stringify(result, null, 1)}\n`)
await writeFile(new URL('chaos.svg', folder), drawChaos(outcomes))
const isGood = outcomes.every(({ verdict }) => verdict.faults.length === 0)
console.log(
  isGood
    ? 'Nothing was lost, nothing ran twice without an excuse, everybody stopped in time.'
    : 'The chaos has faults.',
)
process.exitCode = isGood ? 0 : 1

/** How often each thing was done. */
function deedsOf(deeds: readonly Deed[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { what, kind } of deeds) {
    const name = what === 'store' || what === 'born' ? `${what}: ${kind}` : what
    if (what !== 'gone' && what !== 'calm') counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}
