/**
 * What is over is kept by nobody: after the last job of a program, its requests, payloads, signals, reasons, predicates and
 * records can be collected, while the runtime goes on, whether its threads took the jobs or nobody did.
 */
import { getEventListeners } from 'node:events'
import type { Broker } from '../../../src/brokers/port/broker.ts'
import { type Fuzzer, makeFuzzer } from '../fuzzer.ts'
import { Bench } from './bench.ts'
import { type Program, programs } from './program.ts'
import { Watched } from './watched.ts'

/** Makes the fuzzer; `spoil` puts a fault into the broker on purpose. */
export function memoryFuzzer(spoil?: (broker: Broker) => Broker): Fuzzer {
  return makeFuzzer<Program>({ name: 'memory', programs, play: (program) => play(program, spoil) })
}

/** The fuzzer of memory. */
export const fuzzer = memoryFuzzer()

/** Plays one program. Resolves to what is still there at its end, or undefined. */
export async function play(
  program: Program,
  spoil?: (broker: Broker) => Broker,
): Promise<string | undefined> {
  const watched = new Watched()
  const bench = new Bench(program, watched, spoil)
  try {
    const unfinished = await run(bench, program)
    if (unfinished !== undefined) return unfinished
    const left = await watched.left({ record: program.retention })
    if (left !== undefined) return left
    const listeners = getEventListeners(bench.kept.signal, 'abort').length
    return listeners === 0 ? undefined : `a signal that is kept has ${listeners} listeners`
  } finally {
    await bench.close()
  }
}

// Apart, so that nothing of a program is left in the frame of whoever looks for it.
async function run(bench: Bench, { steps, end }: Program): Promise<string | undefined> {
  for (const step of steps) {
    await bench.step(step)
    if (step.do === 'advance') await new Promise(setImmediate)
  }
  const unfinished = await bench.end(end)
  bench.forget()
  return unfinished
}
