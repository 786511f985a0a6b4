/** Makes the parts of an engine, each out of those before it, and starts them. */
import type { Broker } from '../brokers/port/broker.ts'
import type { BrokerHost } from '../brokers/port/host.ts'
import { payloadBound, type Sizes } from '../rules/bounds.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { Registry } from '../rules/registry.ts'
import { retryPolicy } from '../rules/retry.ts'
import { IO_POOL, poolOptionsSchema, type ReadRuntimeOptions } from '../rules/runtime-schemas.ts'
import type { AnyTask } from '../rules/task.ts'
import { OptionsInvalidError } from '../words/errors.ts'
import { Announcer } from './announcer.ts'
import { EngineHost } from './broker-host.ts'
import { CrashHolds } from './crash-holds.ts'
import type { Engine } from './engine.ts'
import { printedOf } from './handler-lines.ts'
import { JobIds } from './ids.ts'
import { Intake } from './intake.ts'
import { JobControl } from './job-control.ts'
import { Limits } from './limits.ts'
import type { Log } from './log.ts'
import { Metrics } from './metrics.ts'
import { Outcomes } from './outcomes.ts'
import { Pending } from './pending.ts'
import { PoolSet } from './pool-set.ts'
import type { Ports } from './ports.ts'
import { Rate } from './rate.ts'
import { Redaction, type RedactOption } from './redaction.ts'
import { Reloads } from './reloads.ts'
import { Responses } from './responses.ts'
import { RunTimes } from './run-times.ts'
import { Scheduler } from './scheduler.ts'
import { Schedules } from './schedules.ts'
import { SharedJobs } from './shared-jobs.ts'
import { Stopping } from './stopping.ts'
import { ThreadReports } from './thread-reports.ts'
import { Tracing } from './tracing.ts'
import { WaitingHint } from './waiting-hint.ts'
import { Watch } from './watch.ts'

/** Makes the engine of a runtime: opens the broker and starts the threads. */
export function assemble(given: ReadRuntimeOptions, broker: Broker, ports: Ports, log: Log): Engine {
  // An `io` pool is there for whoever asks for one, unless the user has made it otherwise.
  const options = { ...given, pools: { io: poolOptionsSchema.parse(IO_POOL), ...given.pools } }
  const { clock, random } = ports
  const { intake: intakeBroker, ready, attempts, durability } = broker
  const say = (line: string): void => log.say(line)

  // What all parts are made with.
  const registry = new Registry(Object.values(options.tasks) as AnyTask[])
  const { entries } = registry
  const ids = new JobIds(clock.wall(), random)
  const idOf = (job: JobRecord): string => ids.idOf(job)
  const redaction = new Redaction(options.redact as RedactOption | undefined)
  const announcer = new Announcer(idOf, log, redaction)
  const rate = new Rate(clock.now())
  const { maxPending, maxPendingBytes, maxPayloadBytes } = options
  const pending = new Pending({ announcer, clock, rate, max: maxPending, maxBytes: maxPendingBytes })
  const payloads = entries.map(({ task }) => payloadBound(task.name, maxPayloadBytes))
  const sizes = sizesOf(options)
  const limits = new Limits(options)
  const metrics = new Metrics(entries, clock)
  const tracing = Tracing.by(options.telemetry, { clock, idOf, say, redaction })
  const poolSettings = { default: options.pool, ...options.pools }
  const carried = { attempts, cluster: broker.cluster, tracer: tracing?.threadModule }
  const reloads: Reloads = new Reloads(clock, options.reload, () => pools, say)
  const printed = printedOf(log, limits, entries)
  const made = { idPrefix: ids.prefix, onLoaded: reloads.onLoaded, printed, sizes }
  const pools = new PoolSet(poolSettings, entries, made, ports, carried, say)

  // From the broker to the threads, and back.
  const runTimes = new RunTimes(entries.length)
  // The scheduler asks what is held, and what is held no more wakes the scheduler: the one circle among the parts.
  const wake = (pool: string): void => scheduler.wake(pool)
  const holds = new CrashHolds({ ready, clock, pools: pools.byName, wake })
  const retry = options.retry && retryPolicy(options.retry)
  const outcomes = new Outcomes({
    ...{ announcer, sink: attempts, clock, limits, metrics, random },
    ...{ retry, runTimes, tracing, holds },
  })
  const watch = new Watch(clock, limits, {
    takenBack: (job) => outcomes.notStarted(job),
    unresponsive(lane) {
      const pool = pools.poolOf(lane)
      if (pool !== undefined) announcer.unresponsive(pool, lane.id)
    },
  })
  const scheduler: Scheduler = new Scheduler({
    ...{ ready, clock, holds, runTimes, tracing, watch },
    hint: new WaitingHint({ ready, clock, runTimes, say }),
    hasLimits: entries.some(({ task }) => Number.isFinite(task.policy.concurrency)),
    limits: options.bundles,
    pools: pools.byName,
  })
  const stopping = new Stopping({
    ...{ announcer, broker, clock, holds, ids, limits, metrics, outcomes, pending, pools, scheduler, watch },
  })

  // From a call to the broker.
  const isRunning = (): boolean => stopping.phase === 'running'
  const jobs = new JobControl({
    ...{ broker, clock, ids, isRunning, outcomes, pending, pools, redaction, scheduler, watch },
  })
  const { handlerGrace, priorityAgeing, retention } = options
  const responses = new Responses({ attempts, intake: intakeBroker, clock, jobs, handlerGrace })
  const shared = new SharedJobs(responses)
  const intake = new Intake({
    ...{ announcer, broker: intakeBroker, clock, metrics, payloads, pending, registry },
    ...{ shared, stopping, tracing },
    announcing: (announce) => scheduler.announcing(announce),
    cancel: (job, reason) => void jobs.cancel(job, reason),
  })

  const host = new EngineHost({
    ...{ announcer, clock, entries, idPrefix: ids.prefix, jobs, metrics, outcomes, pending, pools },
    ...{ priorityAgeing, rate, retention, scheduler, shared, stopping, watch },
    warn: say,
  })
  const opened = open(broker, host)
  // `ready()` rejects with it; nobody has to ask.
  opened.catch(() => {})
  const schedules = new Schedules(
    {
      ...{ registry, clock, isRunning, payloads, say },
      stale: (stale, isFirst) => announcer.staleSchedule(stale, isFirst),
      // Some brokers know only once they are open.
      store: broker.schedules,
      enqueue: (task, payload, how) => {
        const job = intake.take({ door: 'call', task, payload, options: how, batch: null })
        return () => jobs.stored(job)
      },
    },
    opened,
  )
  pools.start(
    new ThreadReports({
      ...{ announcer, attempts, clock, durability, entries, ids, limits, redaction },
      ...{ intake, metrics, outcomes, scheduler, stopping, watch },
    }),
  )
  return {
    startedAt: Math.round(clock.wall()),
    ...{ options, clock, ids, registry, intake, responses, broker, host, opened, scheduler, holds, pools },
    ...{ announcer, jobs, limits, metrics, pending, rate, redaction, reloads, schedules, stopping },
  }
}

/** How large what comes from handlers may be. */
function sizesOf({
  maxPayloadBytes,
  maxResultBytes,
  maxProgressBytes,
  maxLogBytes,
}: ReadRuntimeOptions): Sizes {
  return {
    ...{ payload: maxPayloadBytes, result: maxResultBytes, progress: maxProgressBytes, log: maxLogBytes },
  }
}

/** Brokers that have a runtime. */
const taken = new WeakSet<Broker>()

/** Opens a broker for its one runtime. */
function open(broker: Broker, host: BrokerHost): Promise<void> {
  if (taken.has(broker)) {
    const message =
      'createRuntime: option "broker" is the broker of another runtime; expected one of its own, since a broker serves one runtime, once. Make another.'
    throw new OptionsInvalidError(message, 'broker')
  }
  taken.add(broker)
  return broker.open(host) ?? Promise.resolve()
}
