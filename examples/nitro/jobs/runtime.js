// #region runtime
import { createRuntime } from 'aftertask'
import { nitroPlugin } from 'aftertask/h3'
import { reportFailure, sendWelcome } from './tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })
export const plugin = nitroPlugin(runtime)
// #endregion runtime
