// #region telemetry
import { createRuntime } from 'aftertask'
import { openTelemetry } from 'aftertask/opentelemetry'
import { exporter } from './otel.ts'
import { shout } from './tasks.ts'

const runtime = createRuntime({ tasks: [shout], telemetry: openTelemetry() })
// #endregion telemetry
await runtime.enqueue(shout, { text: 'hello' }).settled
await runtime.stop()
console.log(exporter.getFinishedSpans().map(({ name }) => name))
