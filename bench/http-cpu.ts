/** Requests beside CPU-bound jobs that keep every thread busy, against the same server while it has no jobs. */
import { availableParallelism } from 'node:os'
import { createRuntime } from 'aftertask'
import { type Bar, type Figure, type Findings, figure, sideBySide } from './kit/findings.ts'
import { LoadMaker } from './kit/load.ts'
import { NaiveRunner, piscinaFor } from './kit/naive.ts'
import { type Contestant, inPairs, until } from './kit/pairs.ts'
import { hello } from './kit/servers.ts'
import { spread } from './kit/statistics.ts'
import { burn } from './tasks.ts'

// A job's length, and how many each thread is given: enough to last for a slice even if nothing held it back.
const MILLISECONDS = 25
const EACH = 14

/** Something that burns CPU beside the server. */
interface Burner {
  add(): void
  pending(): number
}

/** Measures the row. */
export default async function httpCpu(): Promise<Findings> {
  const cores = availableParallelism()
  await using load = new LoadMaker()
  await using server = await hello()
  const figures: Figure[] = []
  const measure = async (name: string, threads: number, burner: Burner, barred = false): Promise<void> => {
    const idle: Contestant = { name: 'idle', port: server.port }
    const busy: Contestant = {
      name,
      port: server.port,
      async prepare() {
        for (let job = 0; job < threads * EACH; job++) burner.add()
        // Every thread is in its first job by now.
        await until(() => burner.pending() < threads * EACH)
      },
      drained: () => until(() => burner.pending() === 0),
    }
    const pairs = await inPairs(load, idle, busy, { pairs: barred ? 24 : 12 })
    const of = (what: string, unit: string, samples: readonly number[], bar?: Bar): void => {
      figures.push(figure(name, what, unit, spread(samples), barred ? bar : undefined))
    }
    of(
      'requests kept',
      'x',
      pairs.map(({ base, other }) => other.perSecond / base.perSecond),
      { atLeast: 0.8, aim: 0.9 },
    )
    of(
      'p99',
      'x',
      pairs.map(({ base, other }) => other.p99 / base.p99),
      { atMost: 1.6 },
    )
  }

  await measureOurs(undefined, 'aftertask, its own number of threads', measure)
  await measureOurs(cores, 'aftertask, a thread per core', measure, true)
  const naive = new NaiveRunner(piscinaFor('burn', cores))
  await measure('naive Piscina, a thread per core', cores, {
    add: () => naive.run({ milliseconds: MILLISECONDS }),
    pending: () => naive.pending,
  })
  await naive.piscina.destroy()
  return {
    figures: sideBySide(figures),
    charts: [{ what: 'requests kept', label: 'requests kept, of the idle server’s' }],
    notes: [
      `Jobs of ${MILLISECONDS} ms of CPU, always more than the threads can do; ${cores} cores carry the threads, the server and the load.`,
      'Options are the defaults, but for the number of threads where the table says so.',
    ],
  }
}

async function measureOurs(
  threads: number | undefined,
  name: string,
  measure: (name: string, threads: number, burner: Burner, barred?: boolean) => Promise<void>,
  barred = false,
): Promise<void> {
  await using runtime = createRuntime({ tasks: [burn], ...(threads && { pool: { threads } }) })
  await runtime.ready()
  const burner: Burner = {
    add: () => void runtime.enqueue(burn, { milliseconds: MILLISECONDS }),
    pending: () => runtime.stats().pending,
  }
  await measure(name, runtime.stats().pools['default']?.threads ?? 1, burner, barred)
}
