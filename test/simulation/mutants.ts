/** Faults that are seeded on purpose, so that the simulation shows that it would find them. */

import { MemoryBroker } from '../../src/brokers/memory/memory-broker.ts'
import { memoryBroker } from '../../src/brokers/memory.ts'
import type { AttemptSink, IntakeBroker, JobDirectory, ReadyJobs } from '../../src/brokers/port/broker.ts'
import type { LaneExit, Pool, PoolHost } from '../../src/pools/pool.ts'
import type { JobRecord } from '../../src/rules/job-record.ts'
import type { Subject } from './world.ts'

type Capabilities = IntakeBroker & ReadyJobs & AttemptSink & JobDirectory

/** A memory broker of which some methods are replaced by faulty ones. It is each of its capabilities itself. */
function faulty(fault: (real: MemoryBroker) => Partial<Capabilities>): Subject {
  return {
    broker() {
      const real = new MemoryBroker(false)
      const faults = fault(real)
      return new Proxy(real, {
        get(target, name, receiver) {
          if (Reflect.get(target, name) === target) return receiver
          const own = Reflect.get(faults, name) ?? Reflect.get(target, name)
          return typeof own === 'function' ? own.bind(target) : own
        },
      })
    },
  }
}

/** Pools whose reports are tampered with on their way to the engine. */
function misreporting(fault: (host: PoolHost) => Partial<PoolHost>): Subject {
  return {
    broker: memoryBroker,
    host: (host) => {
      const faults = fault(host)
      return new Proxy(host, {
        get(target, name) {
          const own = Reflect.get(faults, name) ?? Reflect.get(target, name)
          return typeof own === 'function' ? own.bind(target) : own
        },
      })
    },
  }
}

/** Each fault, and what the simulation should say of it. */
export const mutants: Readonly<Record<string, { readonly subject: Subject; readonly says: RegExp }>> = {
  'a job is lost when its thread dies while it is being cancelled': {
    subject: misreporting((host) => ({
      exited(pool: Pool, exit: LaneExit) {
        const running = exit.running.filter((job) => job.extras?.abort?.why !== 'cancel')
        host.exited(pool, { ...exit, running })
      },
    })),
    says: /did not end|counts\(\) knows|unaccounted|waits although|has not ended|jobs are running/,
  },
  'two jobs of a key run at once': {
    subject: faulty((real) => {
      const running = new Map<string, JobRecord>()
      return {
        claim(pool) {
          const job = real.claim(pool)
          if (job?.extras?.key !== undefined) running.set(job.extras.key, job)
          return job
        },
        add(job, after) {
          const { key } = job.extras ?? {}
          // The key is not looked at while a job of it is running.
          if (key !== undefined && running.get(key)?.state === 'running' && job.extras)
            Reflect.deleteProperty(job.extras, 'key')
          real.add(job, after)
        },
      }
    }),
    says: /holds key|run at once, key|jobs are (?:available|waiting|scheduled)/,
  },
  'the next job of a batch does not wait': {
    subject: faulty((real) => ({ add: (job) => real.add(job, null) })),
    says: /of its batch was over|jobs are (?:available|waiting|scheduled)/,
  },
  'a held job does not wait for its response': {
    subject: faulty((real) => ({
      add(job, after) {
        job.batch = null
        real.add(job, after)
      },
    })),
    says: /before its response was over|jobs are held|skipped for no reason/,
  },
  'a retry is due at once': {
    subject: faulty((real) => ({ retry: (job, _dueAt, attempt) => real.retry(job, 0, attempt) })),
    says: /before its retry is due|jobs are (?:available|retryable)/,
  },
  'a job that is given back is forgotten': {
    subject: faulty(() => ({ putBack() {} })),
    says: /did not end|jobs are (?:available|running)|has not ended/,
  },
  'a finished attempt is told twice': {
    subject: misreporting((host) => ({
      failed(job, error, started, ended) {
        host.failed(job, error, started, ended)
        host.failed(job, error, started, ended)
      },
    })),
    says: /./,
  },
  'a crash is told of a job that had not started': {
    subject: misreporting((host) => ({
      exited(pool: Pool, exit: LaneExit) {
        host.exited(pool, { ...exit, running: [...exit.running, ...exit.unstarted], unstarted: [] })
      },
    })),
    says: /./,
  },
  'a shared job waits for the batch of its first call': {
    subject: faulty(() => ({ detach() {} })),
    says: /jobs are (?:waiting|held|available)|waits although|did not end|skipped for no reason|ranks higher/,
  },
  'a duplicate that comes while the response is open has no say': {
    subject: faulty((real) => ({
      release(job) {
        // Only what its own response has called for is let go.
        if (job.batch?.onFailure === 'continue' && job.batch.tell !== undefined) return
        real.release(job)
      },
    })),
    says: /jobs are|did not end|waits although/,
  },
  'a job that never ran keeps its unique key for its time': {
    subject: faulty((real) => {
      const held = new Map<string, JobRecord>()
      return {
        add(job, after) {
          const { uniqueKey, uniqueUntil } = job.extras ?? {}
          if (uniqueKey !== undefined && uniqueUntil !== undefined) held.set(uniqueKey, job)
          real.add(job, after)
        },
        holderOf(uniqueKey) {
          const job = held.get(uniqueKey)
          return job?.state === 'skipped' || job?.state === 'cancelled' ? job : real.holderOf(uniqueKey)
        },
      }
    }),
    says: /does not hold its unique key|a full queue took/,
  },
}
