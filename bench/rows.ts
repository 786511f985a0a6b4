/** The rows of the benchmark, in the order in which they run. Each is a module beside this one and runs alone by its name. */
import type { Findings } from './kit/findings.ts'

/** One row: what it is called in tables, and the module that measures it. */
export interface Row {
  readonly title: string
  readonly load: () => Promise<{ default: () => Promise<Findings> }>
}

/** All rows by name. */
export const rows: Readonly<Record<string, Row>> = {
  'http-noop': { title: 'An empty job after every response', load: () => import('./http-noop.ts') },
  floors: { title: 'What the parts cost', load: () => import('./floors.ts') },
  'http-cpu': { title: 'Requests beside CPU-bound jobs', load: () => import('./http-cpu.ts') },
  tiny: { title: 'Tiny jobs through one thread', load: () => import('./tiny.ts') },
  lone: { title: 'A lone job on an idle pool', load: () => import('./lone.ts') },
  telemetry: { title: 'Tiny jobs with traces and without', load: () => import('./telemetry.ts') },
  payloads: { title: 'Large payloads', load: () => import('./payloads.ts') },
  'ten-ms': { title: 'Jobs of 10 ms through one thread', load: () => import('./ten-ms.ts') },
  memory: { title: 'A million queued jobs', load: () => import('./memory.ts') },
  journal: { title: 'The SQLite journal', load: () => import('./journal.ts') },
  bullmq: { title: 'BullMQ with aftertask and without', load: () => import('./bullmq.ts') },
  start: { title: 'Import and start', load: () => import('./start.ts') },
  codec: { title: 'Codecs', load: () => import('./codec.ts') },
  photos: { title: 'Requests beside photographs being resized', load: () => import('./photos.ts') },
  fastapi: { title: 'FastAPI and its BackgroundTasks', load: () => import('./fastapi.ts') },
}
