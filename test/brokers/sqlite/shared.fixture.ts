/** Processes of one file. Each runtime here stands for one: what they know of each other goes through the file. */
import { onTestFinished } from 'vitest'
import { ThreadLink } from '../../../src/brokers/sqlite/link.ts'
import type { SqliteSettings } from '../../../src/brokers/sqlite/settings.ts'
import { SqliteBroker } from '../../../src/brokers/sqlite/sqlite-broker.ts'
import { createRuntime, type Runtime, type TasksIn } from '../../../src/index.ts'
import { alone, echo, fails, spans, waits } from './tasks.fixture.ts'

const tasks = [echo, fails, waits, spans, alone]

/** A process of the file; stopped after the test if it has not been before. */
export async function sharing(
  file: string,
  { link = new ThreadLink(), threads = 1, ...settings }: SharingOptions = {},
): Promise<Runtime<TasksIn<typeof tasks>>> {
  const base = { file, durability: 'process', isShared: true, window: 64, retention: { dead: 1e9 } } as const
  const broker = new SqliteBroker({ ...base, ...settings }, link)
  const runtime = createRuntime({ tasks, broker, pool: { threads }, log: false })
  onTestFinished(async () => void (await runtime.stop({ timeout: 0 })))
  await runtime.ready()
  return runtime
}

/** What the processes of a file may differ in. */
export type SharingOptions = Partial<SqliteSettings> & { link?: ThreadLink; threads?: number }

/** Resolves once it is so. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise(setImmediate)
}
