/** The memory broker's face: its options, read and checked. */
import { z } from 'zod'
import { readOptions } from '../rules/options.ts'
import { MemoryBroker } from './memory/memory-broker.ts'
import type { Broker } from './port/broker.ts'

/** What `memoryBroker` takes. */
export interface MemoryOptions {
  /**
   * True: `job(id).history` tells thread and CPU time also of attempts that completed their job, for about a
   * microsecond a job. Default false: of those it tells start and end.
   */
  history?: boolean
}

const schema = z.lazy(() =>
  z.strictObject({ history: z.boolean({ error: 'expected true or false' }).default(false) }),
)

/**
 * Keeps jobs in memory: the default broker, with nothing to install and nothing that survives the process.
 *
 * @throws OptionsInvalidError when an option is unknown or has a bad value.
 */
export function memoryBroker(options: MemoryOptions = {}): Broker {
  return new MemoryBroker(readOptions(schema, options, 'memoryBroker').history)
}
