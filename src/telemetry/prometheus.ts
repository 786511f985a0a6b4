/** `aftertask/prometheus`: a runtime's metrics for Prometheus, with no further package. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type AnyRuntime, isRuntime } from '../engine/runtime.ts'
import { refusal } from '../rules/arguments.ts'
import { formatFor, write } from './prometheus/exposition.ts'
import { familiesOf, type Reading, read } from './prometheus/families.ts'

/** Milliseconds for which a reading is good: scrapers that come together cost the broker one question. */
const FRESH = 1000

/**
 * Makes a handler for `GET /metrics`: the text format of Prometheus, or OpenMetrics for whoever asks for it in `Accept`.
 * It answers `GET` and `HEAD`, and 405 to everything else. A broker that cannot be reached costs the counts by state, and
 * not the answer. What it shows are numbers and the names of tasks, pools and schedules; mount it where only your scraper
 * comes by.
 *
 * @example
 * app.get('/metrics', metrics(runtime))
 *
 * @throws OptionsInvalidError when it is not given a runtime.
 */
export function metrics(
  runtime: AnyRuntime,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  expectRuntime('metrics', runtime)
  const readings = new Readings(runtime)
  return async (request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end()
      return
    }
    const { contentType, text } = await scrapeOf(readings, request.headers.accept)
    response.writeHead(200, {
      'content-type': contentType,
      'content-length': Buffer.byteLength(text),
      'cache-control': 'no-store',
    })
    response.end(request.method === 'HEAD' ? undefined : text)
  }
}

/** What a scrape is answered with. */
export interface Scrape {
  readonly contentType: string
  readonly text: string
}

/**
 * Makes the same answer for servers without `(req, res)`, such as Hono and h3: give it the request's `Accept` header.
 *
 * @example
 * const { contentType, text } = await scrape(runtime, c.req.header('accept'))
 *
 * @throws OptionsInvalidError (as a rejection) when it is not given a runtime.
 */
export async function scrape(runtime: AnyRuntime, accept?: string): Promise<Scrape> {
  expectRuntime('scrape', runtime)
  return scrapeOf(new Readings(runtime), accept)
}

async function scrapeOf(readings: Readings, accept: string | undefined): Promise<Scrape> {
  const format = formatFor(accept)
  return { contentType: format.contentType, text: write(familiesOf(await readings.latest()), format) }
}

/** What `collectInto` needs of a registry: `prom-client`'s has it. */
export interface MetricRegistry {
  registerMetric(metric: never): void
}

/**
 * Adds the metrics of a runtime to a registry of `prom-client`, so that they come out of its `metrics()` beside yours. Each
 * scrape reads them anew. A registry takes the metrics of one runtime.
 *
 * @throws OptionsInvalidError when it is not given a registry and a runtime. What the registry throws for a name that it has.
 */
export function collectInto(registry: MetricRegistry, runtime: AnyRuntime): void {
  if (typeof registry?.registerMetric !== 'function')
    throw refusal('collectInto', 'the registry', registry, 'a Registry of prom-client')
  expectRuntime('collectInto', runtime)
  const readings = new Readings(runtime)
  for (const { name, help, type } of familiesOf(blank(runtime))) {
    const metric = {
      // The registry takes `_total` off the name of a counter where its format is OpenMetrics.
      ...{ name: type === 'counter' ? `${name}_total` : name, help, type, aggregator: 'sum' },
      get: async () => {
        const families = familiesOf(await readings.latest())
        const samples = families.find((family) => family.name === name)?.samples ?? []
        const values = samples.map(({ suffix, labels, value }) =>
          suffix === undefined ? { labels, value } : { labels, value, metricName: `${name}${suffix}` },
        )
        return { ...{ name: metric.name, help, type, aggregator: 'sum' }, values }
      },
      // The numbers are the runtime's own: a registry that is reset does not set them back.
      reset: () => {},
    }
    registry.registerMetric(metric as never)
  }
}

/** One reading for all who ask within a second. */
class Readings {
  readonly #runtime: AnyRuntime
  #latest: Promise<Reading> | undefined
  #at = 0

  constructor(runtime: AnyRuntime) {
    this.#runtime = runtime
  }

  latest(): Promise<Reading> {
    const now = performance.now()
    if (this.#latest === undefined || now - this.#at > FRESH) {
      this.#at = now
      this.#latest = read(this.#runtime)
    }
    return this.#latest
  }
}

/** Every family that a runtime may show, for their names alone. */
function blank(runtime: AnyRuntime): Reading {
  const counts = {} as NonNullable<Reading['counts']>
  const broker = { state: 'up', buffered: 0 } as const
  return { metrics: { ...runtime.metrics(), broker }, counts, schedules: [{ id: '', nextAt: 0 }] }
}

function expectRuntime(call: string, runtime: unknown): void {
  if (!isRuntime(runtime)) throw refusal(call, 'the runtime', runtime, 'what createRuntime returned')
}
