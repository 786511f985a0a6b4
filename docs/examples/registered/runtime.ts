import { createRuntime } from 'aftertask'
import * as tasks from './tasks.ts'

export const runtime = createRuntime({ tasks })

declare module 'aftertask' {
  interface Register {
    runtime: typeof runtime
  }
}
