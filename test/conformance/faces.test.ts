/** Every framework, asked the same: the promises of the response, through each adapter. */
import { describe, test } from 'vitest'
import { httpRuntime } from '../kit/jobs.ts'
import { cases } from './faces/cases.ts'
import { faces } from './faces/faces.ts'

// So long that nothing here can pass because the grace is over.
const runtime = httpRuntime({ handlerGrace: 3_600_000 })

describe.each(faces)('with $name', (face) => {
  for (const asked of cases) {
    const { promise, run } = asked.instead?.[face.name] ?? asked
    test(promise, () => run(face, runtime))
  }
})
