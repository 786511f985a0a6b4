/** A test runtime, for the type checks of matchers. */
import { defineTask } from 'aftertask'
import { createTestRuntime, type TestRuntime } from 'aftertask/testing'

const charge = defineTask({ name: 'card.charge', handler: new URL('./charge-card.js', import.meta.url) })
export const runtime: TestRuntime<typeof charge> = createTestRuntime({ tasks: [charge] })
