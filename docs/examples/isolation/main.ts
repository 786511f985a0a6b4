import { createRuntime } from 'aftertask'
import { misbehave } from './tasks.ts'

// #region run
const runtime = createRuntime({
  tasks: [misbehave],
  pool: { threads: 1, resourceLimits: { maxOldGenerationSizeMb: 32 } },
  killGrace: 100,
  log: false,
})

for (const deed of ['exit', 'reject', 'loop', 'memory', 'function', 'global'] as const) {
  const { state, error } = await runtime.enqueue('misbehave', deed).settled
  console.log(
    `${deed}: ${state}`,
    error === undefined ? '' : `${Reflect.get(error, 'code') ?? error.message}`,
  )
}
console.log(Reflect.get(globalThis, 'leak'), process.env['LEAK']) // what the last one set, seen from here
// #endregion run

await runtime.stop()
