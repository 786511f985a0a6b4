/** The tasks of every simulated run: one for each rule, and what the model knows of them. */
import { type AnyTask, defineTask } from '../../src/rules/task.ts'

/** What a task asks for, in plain numbers: the model's own reading. */
export interface TaskRules {
  readonly pool: 'default' | 'io' | 'elastic' | 'fresh'
  readonly maxAttempts: number
  readonly onCrash: 'retry' | 'fail'
  readonly maxCrashes: number
  readonly concurrency: number
  readonly timeout: number
  readonly queueTimeout: number
  readonly killGrace: number
  readonly priority: number
  readonly key: string | undefined
  readonly uniqueFor: number | undefined
  readonly checksResult: boolean
}

/** `killGrace` of the runtime. */
export const KILL_GRACE = 30

const PLAIN: TaskRules = {
  pool: 'default',
  maxAttempts: 1,
  onCrash: 'retry',
  maxCrashes: 3,
  concurrency: Number.POSITIVE_INFINITY,
  timeout: Number.POSITIVE_INFINITY,
  queueTimeout: Number.POSITIVE_INFINITY,
  killGrace: KILL_GRACE,
  priority: 0,
  key: undefined,
  uniqueFor: undefined,
  checksResult: false,
}

/** The rules of each task by name, in the order of their numbers. */
export const taskRules: readonly (TaskRules & { readonly name: string })[] = [
  { ...PLAIN, name: 'plain' },
  { ...PLAIN, name: 'retried', maxAttempts: 3 },
  { ...PLAIN, name: 'timed', timeout: 50, maxAttempts: 2 },
  { ...PLAIN, name: 'single', concurrency: 1 },
  { ...PLAIN, name: 'pair', concurrency: 2, timeout: 40, maxAttempts: 2 },
  { ...PLAIN, name: 'keyed', key: 'fixed', maxAttempts: 2 },
  { ...PLAIN, name: 'checked', checksResult: true, maxAttempts: 2 },
  { ...PLAIN, name: 'fragile', onCrash: 'fail' },
  { ...PLAIN, name: 'hasty', queueTimeout: 30 },
  { ...PLAIN, name: 'urgent', priority: 5 },
  { ...PLAIN, name: 'held-name', uniqueFor: 100 },
  { ...PLAIN, name: 'io', pool: 'io' },
  { ...PLAIN, name: 'io-timed', pool: 'io', timeout: 60, killGrace: 20, maxAttempts: 2 },
  { ...PLAIN, name: 'elastic', pool: 'elastic', maxCrashes: 1 },
  { ...PLAIN, name: 'fresh', pool: 'fresh', maxAttempts: 2, timeout: 80 },
]

// A payload is the number of its spec in the plan: it says how the handler behaves.
const anyNumber = {
  '~standard': {
    version: 1,
    vendor: 'simulation',
    validate: (value: unknown) => ({ value: value as number }),
  },
} as const

/** A result that `checked` refuses. */
export const RUBBISH = 'rubbish'
/** A result on which the schema of `checked` throws. */
export const POISON = 'poison'

const notRubbish = {
  '~standard': {
    version: 1,
    vendor: 'simulation',
    validate(value: unknown) {
      if (value === POISON) throw new TypeError('The schema of the result threw.')
      return value === RUBBISH ? { issues: [{ message: 'rubbish' }] } : { value }
    },
  },
} as const

/** The tasks themselves. No thread ever imports their handlers. */
export const tasks: readonly AnyTask[] = taskRules.map((rules) =>
  defineTask({
    name: rules.name,
    payload: anyNumber,
    handler: 'file:///simulated.js',
    pool: rules.pool,
    retry: {
      maxAttempts: rules.maxAttempts,
      backoff: { delay: 50, max: 200, jitter: rules.name === 'retried' ? true : 0 },
    },
    onCrash: rules.onCrash,
    maxCrashes: rules.maxCrashes,
    concurrency: rules.concurrency,
    timeout: rules.timeout,
    queueTimeout: rules.queueTimeout,
    priority: rules.priority,
    ...(rules.killGrace === KILL_GRACE ? {} : { killGrace: rules.killGrace }),
    ...(rules.key === undefined ? {} : { key: rules.key }),
    ...(rules.uniqueFor === undefined ? {} : { unique: { key: () => 'held', for: rules.uniqueFor } }),
    ...(rules.checksResult ? { result: notRubbish } : {}),
  }),
)
