/** Faults that are seeded on purpose into the broker and its store, so that the simulation shows that it finds them. */
import { Leases } from '../../../src/brokers/bullmq/consumer/leases.ts'
import { Settlements } from '../../../src/brokers/bullmq/local/settlements.ts'
import { HealthCheck } from '../../../src/brokers/bullmq/store/health-check.ts'
import type { Behaviour, Op, Plan } from '../plan.ts'
import { REFUSED, Refusal } from './model-store.ts'
import type { ClusterSubject } from './sim-process.ts'

/** A class of the product of which one method is replaced for the time of a run. */
function without<T extends object, K extends keyof T>(
  of: { prototype: T },
  name: K,
  faulty: T[K],
): ClusterSubject {
  return {
    patch() {
      const { [name]: real } = of.prototype
      of.prototype[name] = faulty
      return () => {
        of.prototype[name] = real
      }
    },
  }
}

const advance = (ms: number): Op => ({ do: 'advance', ms })
const add: Op = { do: 'in', process: 0, does: { do: 'add', spec: 0 } }

/** A plan that leads to where a fault shows, with jobs whose attempts take so many milliseconds. */
function leadingTo(runs: readonly number[], processes: number, ops: readonly Op[]): Plan {
  const run = (ms: number): Behaviour => ({ ends: 'returns', ms, blocks: false, onAbort: 'ignores' })
  return {
    world: {
      ...{ seed: 0, threads: 1, maxPending: 1000, ageing: 1000, retention: 1000, force: false, stillborn: 0 },
      ...{ processes, isOrdered: true },
    },
    specs: [{ task: 0, runs: runs.map(run) }],
    ops,
  }
}

// It ends where no connection is, and runs elsewhere by the time that there is one again.
const CUT = leadingTo([2500, 9000], 2, [
  add,
  advance(300),
  { do: 'cut', process: 0, ms: 9000 },
  advance(10_000),
])
// What ends while the store is away is written when it is back, and others look for expired leases at that moment.
const AWAY = leadingTo([2500], 4, [
  ...[add, add, add, advance(1900), { do: 'store', what: 'restarts', ms: 4200 } as const, advance(8000)],
])

/** A fault. */
export interface ClusterMutant {
  readonly subject: ClusterSubject
  /** What the simulation should say of it. */
  readonly says: RegExp
  /** Where it shows, for one that random plans come to seldom: it is tried with one seed after the other. */
  readonly plan?: Plan
}

/** Each fault, and what the simulation should say of it. */
export const clusterMutants: Readonly<Record<string, ClusterMutant>> = {
  'the store takes the outcome of a job from whoever brings it': {
    subject: {
      tamper({ store }) {
        store.owned = (name, id) => {
          const job = store.queue(name).jobs.get(id)
          if (job?.where !== 'active') throw new Refusal(REFUSED.state, id)
          return job
        }
      },
    },
    plan: CUT,
    says: /starts in a process that does not have it|completed although its handler|while it runs in|although it is/,
  },
  'a process takes the jobs of others as soon as the store is back': {
    subject: without(HealthCheck, 'isSteady', () => Promise.resolve(true)),
    plan: AWAY,
    says: /which was well/,
  },
  'a job that ends stays in its locks': {
    subject: {
      tamper({ store }) {
        const end = store.end.bind(store)
        store.end = (name, id, token, ending) => end(name, id, token, { ...ending, locks: [] })
      },
    },
    says: /is in lock .* and all are over|did not end/,
  },
  'nobody looks for the ends whose messages were lost': {
    subject: without(Settlements, 'look', () => Promise.resolve()),
    says: /did not end|told nothing/,
  },
  'leases are not renewed': {
    subject: without(Leases, 'renew', () => Promise.resolve()),
    says: /which was well/,
  },
  'writes that fail do not count': {
    subject: without(HealthCheck, 'failed', () => {}),
    says: /calls a store up that refuses writes/,
  },
  'a lock lets everybody pass': {
    subject: {
      tamper({ store }) {
        store.enter = () => 'first'
      },
    },
    says: /holds key|of its batch was over/,
  },
  'the store forgets a job that it has said to have': {
    subject: {
      tamper({ store }) {
        const real = store.add.bind(store)
        let added = 0
        store.add = (name, job, dueAt) => (++added % 7 === 0 ? job.id : real(name, job, dueAt))
      },
    },
    says: /the store does not have it|did not end|is neither stored nor over/,
  },
  'processes go by their own clocks': {
    subject: {
      tamper(server) {
        server.time = () => Number.NaN
      },
    },
    says: /before it is due|before its retry is due|did not end|nothing comes to rest/,
  },
  'two processes make the same run of a schedule': {
    subject: {
      tamper({ store }) {
        const real = store.add.bind(store)
        store.takeSchedule = () => true
        store.add = (name, job, dueAt) => real(name, { ...job, unique: undefined }, dueAt)
      },
    },
    says: /are the same run/,
  },
}
