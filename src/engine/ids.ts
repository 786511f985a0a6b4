/** Job ids: unique over processes, short, and made from a number only when somebody asks. */

import type { JobRecord } from '../rules/job-record.ts'

/** Makes ids from job numbers and reads them back. */
export class JobIds {
  /** What every id of this runtime starts with. */
  readonly prefix: string

  /** `random` gives a number in [0, 1). */
  constructor(wall: number, random: () => number) {
    const part = () =>
      Math.floor(random() * 36 ** 5)
        .toString(36)
        .padStart(5, '0')
    // Time first, so that ids sort roughly by age; then 51 bits of chance.
    this.prefix = `j${wall.toString(36)}${part()}${part()}-`
  }

  /** The id of a job; that of another process's job is in its record. */
  idOf(job: JobRecord): string {
    return job.extras?.id ?? this.of(job.seq)
  }

  of(seq: number): string {
    return this.prefix + seq.toString(36)
  }

  /** The number of an id that this runtime made; undefined for any other. */
  seqOf(id: string): number | undefined {
    if (!id.startsWith(this.prefix)) return undefined
    const seq = Number.parseInt(id.slice(this.prefix.length), 36)
    return this.of(seq) === id ? seq : undefined
  }
}
