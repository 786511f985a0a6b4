/** The ledger: every accepted job goes in, every end of one takes it out, and whatever does not balance is a finding. */
import type { Runtime, RuntimeEvents } from 'aftertask'

const ENDS = ['job:completed', 'job:dead', 'job:cancelled', 'job:skipped', 'job:lost'] as const

/** Keeps count of a runtime's jobs. */
export class Ledger {
  readonly open = new Map<string, string>()
  readonly ends: Record<string, number> = {}
  readonly findings: string[] = []
  accepted = 0

  constructor(runtime: Runtime) {
    runtime.on('job:enqueued', ({ job }) => {
      this.accepted++
      if (this.open.has(job.id)) this.#find(`${job.id} (${job.name}) was accepted twice`)
      this.open.set(job.id, job.name)
    })
    for (const end of ENDS) runtime.on(end, (event) => this.#close(end, event))
  }

  #close(end: (typeof ENDS)[number], { job }: RuntimeEvents[(typeof ENDS)[number]]): void {
    this.ends[end] = (this.ends[end] ?? 0) + 1
    if (!this.open.delete(job.id)) this.#find(`${job.id} (${job.name}) ended with ${end}, but was not open`)
  }

  #find(finding: string): void {
    if (this.findings.length < 20) this.findings.push(finding)
  }
}
