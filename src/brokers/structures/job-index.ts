/** Jobs by their number: pages of an array, since numbers come one after the other. A map would take five times the room. */
import type { JobRecord } from '../../rules/job-record.ts'

const PAGE = 1024

interface Page {
  readonly jobs: (JobRecord | undefined)[]
  count: number
}

/** Finds jobs by number; a page without jobs is let go. */
export class JobIndex {
  readonly #pages = new Map<number, Page>()
  // Most look-ups and additions are about the newest jobs.
  #lastNumber = -1
  #last: Page | undefined

  set(job: JobRecord): void {
    const page = this.#page(Math.floor(job.seq / PAGE)) ?? this.#addPage(Math.floor(job.seq / PAGE))
    page.jobs[job.seq % PAGE] = job
    page.count++
  }

  get(seq: number): JobRecord | undefined {
    return this.#page(Math.floor(seq / PAGE))?.jobs[seq % PAGE]
  }

  delete(seq: number): void {
    const number = Math.floor(seq / PAGE)
    const page = this.#page(number)
    if (page?.jobs[seq % PAGE] === undefined) return
    page.jobs[seq % PAGE] = undefined
    if (--page.count > 0) return
    this.#pages.delete(number)
    this.#lastNumber = -1
    this.#last = undefined
  }

  /** Every job, oldest number first. */
  *values(): Iterable<JobRecord> {
    for (const { jobs } of this.#pages.values()) {
      for (const job of jobs) if (job !== undefined) yield job
    }
  }

  /**
   * The jobs behind a number (or all), newest or oldest number first. Jobs may come and go meanwhile: those that have come
   * since may be missing.
   */
  *inOrder(order: 'newest' | 'oldest', after: number | undefined): Iterable<JobRecord> {
    const isDown = order === 'newest'
    const numbers = [...this.#pages.keys()]
    if (isDown) numbers.reverse()
    const isBehind = (seq: number): boolean => after === undefined || (isDown ? seq < after : seq > after)
    for (const number of numbers) {
      const first = number * PAGE
      if (!isBehind(isDown ? first : first + PAGE - 1)) continue
      const jobs = this.#pages.get(number)?.jobs
      if (jobs === undefined) continue
      for (let step = 0; step < PAGE; step++) {
        const at = isDown ? PAGE - 1 - step : step
        const job = jobs[at]
        if (job !== undefined && isBehind(first + at)) yield job
      }
    }
  }

  #page(number: number): Page | undefined {
    if (number === this.#lastNumber) return this.#last
    const page = this.#pages.get(number)
    if (page === undefined) return undefined
    this.#lastNumber = number
    this.#last = page
    return page
  }

  #addPage(number: number): Page {
    const page: Page = { jobs: new Array(PAGE).fill(undefined), count: 0 }
    this.#pages.set(number, page)
    return page
  }
}
