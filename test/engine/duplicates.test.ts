/** What a duplicate of a unique job has a say in, on every broker of this process. */
import { describe } from 'vitest'
import { memoryBroker } from '../../src/brokers/memory.ts'
import { sqliteBroker } from '../../src/brokers/sqlite.ts'
import { checkDuplicates } from '../contract/duplicates.ts'
import { tempFolder } from '../kit/temp-folder.ts'

const { newFile } = tempFolder('duplicates')

describe.each([
  ['memory', () => memoryBroker()],
  ['sqlite', () => sqliteBroker({ file: newFile() })],
  ['shared sqlite', () => sqliteBroker({ file: newFile(), shared: true })],
])('a duplicate on %s', (_name, make) => checkDuplicates(make))
