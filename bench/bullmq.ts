/**
 * The BullMQ broker against BullMQ alone, over one Redis and over one PostgreSQL, with the same settings: adding, empty
 * jobs, and jobs of CPU time against BullMQ's own worker-thread sandbox.
 */
import { whyNot } from '../test/kit/store-servers.ts'
import { BULK, CONCURRENCY, type Side, sidesOver } from './kit/bullmq-sides.ts'
import { type Bar, type Figure, type Findings, figure } from './kit/findings.ts'
import { collect } from './kit/garbage.ts'
import { spread } from './kit/statistics.ts'

const PAIRS = 7
const CALLERS = 100
const THREADS = 2
const STORES = { redis: 'Redis', postgres: 'PostgreSQL' } as const
// What both sides keep takes long in PostgreSQL: fewer jobs are enough for a slice.
const EMPTY_JOBS = { redis: 3000, postgres: 500 } as const
const BURNS = [
  { milliseconds: 0.1, jobs: 500, bar: undefined },
  { milliseconds: 1, jobs: 250, bar: undefined },
  { milliseconds: 10, jobs: 60, bar: { atLeast: 1.5 } },
] as const

/** Milliseconds that a slice of one side took. */
type Slice = (side: Side) => Promise<number>

/** Measures the row. */
export default async function bullmq(): Promise<Findings> {
  const figures: Figure[] = []
  const notes: string[] = []
  for (const store of ['redis', 'postgres'] as const) {
    const reason = whyNot(store)
    if (reason === undefined) figures.push(...(await over(store)))
    else notes.push(`${STORES[store]} was left out: ${reason}.`)
  }
  return {
    figures,
    charts: [],
    notes: [
      ...notes,
      `Both sides have the same payloads, keep the last thousand finished jobs, and use one server, whose Redis writes every command to disk before it answers. Adding: ${BULK.toLocaleString('en')} jobs in one call, or ${CALLERS} callers that wait for each of theirs. Empty jobs: ${CONCURRENCY} at most with the process; BullMQ runs them on its event loop, aftertask sends them to a thread and back.`,
      `CPU time: ${THREADS} threads of BullMQ’s sandbox and ${THREADS} of ours. A job of 10 ms takes 10 ms of its thread on either side, so what can be gained is the overhead alone: the time of a thread that a job takes beyond its CPU time. Most of it is the way to the store and back, with a commit, while the thread stands idle. “Taken ahead” is \`prefetch\`: a job lies ready for each thread; the sandbox has no such thing, for it has a thread for each job that is taken.`,
      `${PAIRS} pairs of slices, alternating which goes first; from the end of the first job to that of the last.`,
    ],
  }
}

async function over(store: 'redis' | 'postgres'): Promise<Figure[]> {
  const sides = await sidesOver(store)
  const on = STORES[store]
  const compare = async (what: string, jobs: number, slice: Slice, bar?: Bar): Promise<Figure[]> => {
    const pairs = await inTurn(sides.ours, sides.bare, slice)
    const rate = (times: readonly number[]): ReturnType<typeof spread> =>
      spread(times.map((time) => (jobs * 1000) / time))
    const ratios = pairs.map(({ own, other }) => other / own)
    return [
      figure(sides.ours.name, `${on}: ${what}, of BullMQ’s`, 'x', spread(ratios), bar),
      figure(sides.ours.name, `${on}: ${what}`, 'jobs/s', rate(pairs.map(({ own }) => own))),
      figure(sides.bare.name, `${on}: ${what}`, 'jobs/s', rate(pairs.map(({ other }) => other))),
    ]
  }
  try {
    const empty = EMPTY_JOBS[store]
    const found = [
      ...(await compare(
        'added in bulk',
        BULK,
        timed((side) => side.addBulk(BULK)),
        { atLeast: 0.9 },
      )),
      ...(await compare(
        'added one by one',
        1000,
        timed((side) => addAlone(side, 1000)),
      )),
      ...(await compare('empty jobs', empty, (side) => side.run(empty, 'nothing'), { atLeast: 0.9 })),
    ]
    for (const { milliseconds, jobs, bar } of BURNS) {
      for (const prefetch of [0, THREADS]) {
        const what = `jobs of ${milliseconds} ms${prefetch === 0 ? '' : `, ${prefetch} taken ahead`}`
        const work = { threads: THREADS, milliseconds, prefetch }
        const rates = await compare(what, jobs, (side) => side.run(jobs, work), bar)
        found.push(...rates, ...rates.slice(1).map((of) => overhead(of, milliseconds)))
      }
    }
    return found
  } finally {
    await sides.stop()
  }
}

/** The microseconds of a thread that a job takes beyond its CPU time. */
function overhead({ of, what, low, median, high, samples }: Figure, milliseconds: number): Figure {
  const beyond = (rate: number): number => ((THREADS * 1000) / rate - milliseconds) * 1000
  const found = { median: beyond(median), low: beyond(high), high: beyond(low), samples }
  return figure(of, `${what}, overhead`, 'µs', found)
}

async function inTurn(own: Side, other: Side, slice: Slice): Promise<{ own: number; other: number }[]> {
  const pairs: { own: number; other: number }[] = []
  for (let pair = -1; pair < PAIRS; pair++) {
    const order = pair % 2 === 0 ? [own, other] : [other, own]
    const times = new Map<Side, number>()
    for (const side of order) {
      collect()
      times.set(side, await slice(side))
    }
    // The first pair warms up.
    if (pair >= 0) pairs.push({ own: times.get(own) ?? 0, other: times.get(other) ?? 0 })
  }
  return pairs
}

function timed(step: (side: Side) => Promise<unknown>): Slice {
  return async (side) => {
    const begun = performance.now()
    await step(side)
    return performance.now() - begun
  }
}

/** As a server does that answers once its job is stored. */
async function addAlone(side: Side, jobs: number): Promise<void> {
  let left = jobs
  const caller = async (): Promise<void> => {
    while (left-- > 0) await side.add()
  }
  await Promise.all(Array.from({ length: CALLERS }, caller))
}
