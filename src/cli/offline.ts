/** Asks where jobs are kept, without a process that runs them: a runtime without threads over a journal or a store. */
import { existsSync } from 'node:fs'
import { userInfo } from 'node:os'
import { bullmqBroker } from '../brokers/bullmq.ts'
import type { Broker } from '../brokers/port/broker.ts'
import { journalToRead, sqliteBroker } from '../brokers/sqlite.ts'
import { OPERATIONS, type OperationName, perform } from '../control/api.ts'
import { type AnyRuntime, createRuntime, engineOf } from '../engine/runtime.ts'
import { withoutCredentials } from '../rules/secrets.ts'
import { defineTask } from '../rules/task.ts'
import { BrokerUnavailableError, JournalLockedError, OptionsInvalidError } from '../words/errors.ts'
import { expectStore, type Reach } from './answering.ts'

/** What only a process that runs jobs can say. */
const OF_A_PROCESS: readonly OperationName[] = ['stats', 'metrics', 'tasks', 'pause', 'resume']
const CONTROL_ADVICE =
  'Ask the process itself: start it with createRuntime({ control: true }), and give --control or nothing.'

/** A journal: only read, unless something is to be changed and nobody else has it. */
export async function reachJournal(file: string, purpose: 'look' | 'change'): Promise<Reach> {
  if (!existsSync(file)) throw new OptionsInvalidError(`There is no journal ${file}.`, 'journal')
  const name = `journal ${file}`
  if (purpose === 'look') return reachOf(name, await opened(journalToRead(file)), true)
  // Nobody has asked to have what is over removed.
  const forever = Number.POSITIVE_INFINITY
  const retention = { count: forever, age: forever, dead: forever }
  try {
    return reachOf(name, await opened(sqliteBroker({ file, retention })))
  } catch (error) {
    if (!(error instanceof JournalLockedError)) throw error
  }
  try {
    return reachOf(name, await opened(sqliteBroker({ file, retention, shared: true })))
  } catch (error) {
    if (!(error instanceof JournalLockedError)) throw error
    throw new JournalLockedError(`${error.message} ${CONTROL_ADVICE}`)
  }
}

/** A store that several processes share. */
export async function reachStore(store: string, prefix: string | undefined): Promise<Reach> {
  const url = expectStore(store)
  const broker = bullmqBroker({ connection: url, role: 'producer', ...(prefix !== undefined && { prefix }) })
  const runtime = await opened(broker)
  if (runtime.stats().broker?.state === 'down') {
    await runtime.stop({ timeout: 0 })
    throw new BrokerUnavailableError('down', `The store ${withoutCredentials(url)} cannot be reached.`)
  }
  return reachOf(`store ${withoutCredentials(url)}`, runtime)
}

async function opened(broker: Broker): Promise<AnyRuntime> {
  // A runtime has a task; nobody adds a job of this one, so no thread is ever started for it.
  const none = defineTask({ name: 'aftertask', handler: new URL('./offline.js', import.meta.url) })
  const runtime = createRuntime({
    tasks: [none],
    broker,
    log: false,
    pool: { min: 0, max: 1, warmUp: false },
  })
  try {
    await runtime[engineOf].opened
  } catch (error) {
    await runtime.stop({ timeout: 0 })
    throw error
  }
  return runtime
}

function reachOf(name: string, runtime: AnyRuntime, isReadOnly = false): Reach {
  const left = new AbortController()
  return {
    name,
    async ask<Answer>(op: OperationName, args?: object) {
      if (OF_A_PROCESS.includes(op))
        throw new OptionsInvalidError(`The ${name} cannot say that ("${op}"). ${CONTROL_ADVICE}`)
      const isLook =
        ['view', 'payload'].includes(OPERATIONS[op].permission) || Reflect.get(args ?? {}, 'dryRun') === true
      if (isReadOnly && !isLook) throw new OptionsInvalidError(`The ${name} is only read ("${op}").`)
      return (await perform(runtime, op, args, { by: userInfo().username, signal: left.signal })) as Answer
    },
    follow: null,
    gone: new Promise(() => {}),
    async close() {
      left.abort()
      await runtime.stop({ timeout: 0 })
    },
  }
}
