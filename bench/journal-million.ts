/** A program of the row `journal`: fills a journal with a million jobs and is killed with them, or starts over them. */
import { createRuntime, type Job } from 'aftertask'
import { sqliteBroker } from 'aftertask/sqlite'
import { answer } from './kit/child.ts'
import { count } from './tasks.ts'

/** What filling found: resident memory beyond the idle runtime, before it has done anything and after. */
export interface Filled {
  readonly beyondFresh: number
  readonly beyondWorked: number
}

/** What starting again found: from the start of the process to the end of the first job. */
export interface Restarted {
  readonly milliseconds: number
}

const began = performance.timeOrigin
const [mode = '', file = ''] = process.argv.slice(2)
const runtime = createRuntime({
  tasks: [count],
  broker: sqliteBroker({ file }),
  pool: { threads: 1 },
  maxPending: Number.POSITIVE_INFINITY,
  log: false,
})
if (mode === 'fill') {
  await runtime.ready()
  const fresh = resident()
  for (let thousand = 0; thousand < 200; thousand++)
    await Promise.all(add(thousand).map((job) => job.settled))
  const worked = resident()
  runtime.pause()
  for (let thousand = 0; thousand < 1000; thousand++) {
    await add(thousand).at(-1)?.stored
  }
  const full = resident()
  answer({ beyondFresh: full - fresh, beyondWorked: full - worked } satisfies Filled)
} else {
  runtime.on('job:completed', () => {
    runtime.pause()
    answer({ milliseconds: performance.timeOrigin + performance.now() - began } satisfies Restarted)
  })
}

function add(thousand: number): Job[] {
  return Array.from({ length: 1000 }, (_, n) => runtime.enqueue(count, { n: thousand * 1000 + n }))
}

function resident(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage().rss / 2 ** 20
}
