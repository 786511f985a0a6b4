/** A batch for each response, by hand: stands in for `aftertask/polka`. */
import type { Runtime } from 'aftertask'
import type { Middleware } from 'polka'

/** Adds one job to each request. */
export function afterEach(runtime: Runtime, task: string, payload?: (url: string) => unknown): Middleware {
  return (req, res, next) => {
    const batch = runtime.openBatch({ order: 'sequential', onFailure: 'continue', context: () => undefined })
    const url = req.url ?? ''
    const method = req.method ?? ''
    batch.add(task, payload?.(url))
    res.once('finish', () =>
      batch.settle({ statusCode: res.statusCode, outcome: 'sent', error: undefined, method, url }),
    )
    next()
  }
}
