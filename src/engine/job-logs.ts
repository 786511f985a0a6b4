/** What a job's handler has said, as whoever asks for it is told. */
import type { JobRecord } from '../rules/job-record.ts'
import { fittingLog, toldLog } from '../rules/log-lines.ts'
import type { JobLogLine } from '../words/job.ts'
import type { Engine } from './engine.ts'

/** The kept lines of a job, oldest first. Secrets were hidden before the lines were kept. */
export async function logsOf(
  { broker, limits }: Pick<Engine, 'broker' | 'limits'>,
  job: JobRecord,
): Promise<readonly JobLogLine[]> {
  const kept = await broker.jobs.logs(job)
  return toldLog(fittingLog(kept, limits.logsOf(job)))
}
