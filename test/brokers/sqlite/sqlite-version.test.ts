/** Which SQLite is refused: those that can corrupt a WAL file under several connections. */
import { describe, expect, test } from 'vitest'
import { ThreadLink } from '../../../src/brokers/sqlite/link.ts'
import { SqliteBroker } from '../../../src/brokers/sqlite/sqlite-broker.ts'
import { createRuntime, type RuntimeOptions } from '../../../src/index.ts'
import { checkSqlite } from '../../../workers/journal/sqlite-version.ts'
import { journalFile } from './journal.fixture.ts'
import { echo } from './tasks.fixture.ts'

describe('a SQLite', () => {
  test.each(['3.51.2', '3.50.99', '3.9.9', '2.99.99', '3.51'])('%s is refused', (version) => {
    expect(() => checkSqlite(version)).toThrow(`SQLite ${version}`)
  })

  test.each(['3.51.3', '3.51.10', '3.52.0', '3.100.0', '4.0.0'])('%s is taken', (version) => {
    expect(() => checkSqlite(version)).not.toThrow()
  })

  test('of this Node is taken', () => {
    expect(() => checkSqlite()).not.toThrow()
  })

  test('that is refused has the journal refused, with what to do', async () => {
    const place = { file: journalFile(), durability: 'process', isShared: false, window: 64 } as const
    const settings = { ...place, retention: { dead: 1e9 }, sqliteVersion: '3.51.2' }
    const options: RuntimeOptions = {
      tasks: [echo],
      broker: new SqliteBroker(settings, new ThreadLink()),
      pool: { threads: 1 },
      log: false,
    }
    await using runtime = createRuntime(options)
    await expect(runtime.ready()).rejects.toMatchObject({
      code: 'ERR_SQLITE_VERSION',
      message: expect.stringContaining('3.51.3 or later is needed'),
    })
  })
})
