import { describe, expect, test } from 'vitest'
import { MemoryBroker } from '../../src/brokers/memory/memory-broker.ts'
import type { AttemptSink, IntakeBroker, JobDirectory, ReadyJobs } from '../../src/brokers/port/broker.ts'
import { brokerContract } from '../../src/testing/broker-contract.ts'

type Capabilities = IntakeBroker & ReadyJobs & AttemptSink & JobDirectory

/** A memory broker of which some methods are replaced by faulty ones. It is each of its capabilities itself. */
function faulty(fault: (real: MemoryBroker) => Partial<Capabilities>): MemoryBroker {
  const real = new MemoryBroker(false)
  const faults = fault(real)
  return new Proxy(real, {
    get(target, name, receiver) {
      if (Reflect.get(target, name) === target) return receiver
      const own = Reflect.get(faults, name) ?? Reflect.get(target, name)
      return typeof own === 'function' ? own.bind(target) : own
    },
  })
}

const faults: [rule: string, fault: (real: MemoryBroker) => Partial<Capabilities>][] = [
  ['runs the jobs of a batch one after the other', (real) => ({ add: (job) => real.add(job, null) })],
  [
    'runs the job with the larger priority first',
    (real) => ({
      add(job, after) {
        job.priority = 0
        real.add(job, after)
      },
    }),
  ],
  [
    'lets one job of a key run at a time, in the order added',
    (real) => ({
      add(job, after) {
        if (job.extras !== null) Reflect.deleteProperty(job.extras, 'key')
        real.add(job, after)
      },
    }),
  ],
  [
    'keeps a job until it is due',
    (real) => ({ add: (job, after) => real.add(Object.assign(job, { extras: null }), after) }),
  ],
  ['knows which job holds a unique key while the job is unfinished', () => ({ holderOf: () => undefined })],
  ['puts a job back at its old place', () => ({ putBack() {} })],
  ['passes over the jobs of a task that is held back, where it says that it can', () => ({ hold() {} })],
  [
    'reports the end of a job exactly once, with its result and its run time',
    (real) => ({ finish: (job, { attempt: _attempt, ...ending }) => real.finish(job, ending) }),
  ],
  ['removes a job that is over, and none that is not', () => ({ remove: async () => true })],
  ['lets a dead job start over', () => ({ isKept: () => false })],
  [
    'counts jobs by state and lists them newest first',
    (real) => ({ list: (filter) => real.list(filter).toReversed() }),
  ],
  ['tells the attempts of a job that failed, oldest first', () => ({ history: async () => [] })],
]

describe('the contract of brokers', () => {
  test.each(faults)('finds a broker that breaks the rule: %s', async (rule, fault) => {
    const found = brokerContract({ name: 'faulty', make: () => faulty(fault), survives: false })
    const broken = found.find(({ name }) => name === `the faulty broker ${rule}`)
    await expect(broken?.run()).rejects.toThrow()
  })

  test('gives each rule a name of its own that is a sentence about the broker', () => {
    const names = brokerContract({ name: 'small', make: () => new MemoryBroker(false), survives: true }).map(
      ({ name }) => name,
    )
    expect(new Set(names).size).toBe(names.length)
    expect(names.filter((name) => !name.startsWith('the small broker '))).toEqual([])
  })
})
