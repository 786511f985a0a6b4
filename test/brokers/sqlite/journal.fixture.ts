/** Runtimes over a journal in a folder of their own, which goes with the test. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type SqliteOptions, sqliteBroker } from '../../../src/brokers/sqlite.ts'
import { createRuntime, type Runtime, type RuntimeOptions, type TasksIn } from '../../../src/index.ts'
import { echo, fails, failsLater } from './tasks.fixture.ts'

export { echo, fails, failsLater } from './tasks.fixture.ts'

const tasks = [echo, fails, failsLater]

/** The path of a journal that is removed after the test. */
export function journalFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-journal-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'journal.sqlite')
}

/** A runtime over a journal; stopped after the test if it has not been before. */
export function journalRuntime(
  file: string,
  { broker, ...options }: Partial<Omit<RuntimeOptions, 'broker'>> & { broker?: Partial<SqliteOptions> } = {},
): Runtime<TasksIn<typeof tasks>> {
  const journal = sqliteBroker({ file, durability: 'process', ...broker })
  const runtime = createRuntime({ pool: { threads: 1 }, log: false, ...options, tasks, broker: journal })
  onTestFinished(async () => void (await runtime.stop({ timeout: 0 })))
  return runtime
}
