/** What the figures were taken on: they mean nothing without it. */
import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os'

/** The machine and the moment. */
export interface Machine {
  readonly node: string
  readonly system: string
  readonly processor: string
  readonly cores: number
  readonly memoryGb: number
  /** The day, as `2027-01-31`. */
  readonly date: string
}

/** This machine, today. */
export function thisMachine(): Machine {
  return {
    node: process.version,
    system: `${platform()} ${release().split('-', 1)[0]} ${arch()}`,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    date: new Date().toISOString().slice(0, 10),
  }
}
