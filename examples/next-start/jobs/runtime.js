// #region mount
import { createRuntime } from 'aftertask'
import { reportFailure, sendWelcome } from './tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })
// #endregion mount
