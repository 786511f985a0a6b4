import type { Runtime } from 'aftertask'
import { afterResponse } from 'aftertask/polka'
import polka, { type Polka } from 'polka'
import type { chargeCard } from './tasks.ts'

/** The app, for a runtime that its caller makes: the real one in the server, another in tests. */
export function shop(runtime: Runtime<typeof chargeCard>): Polka {
  return polka()
    .use(afterResponse(runtime))
    .post('/orders/:id', (req, res) => {
      req.after('card.charge', { order: req.params.id })
      res.statusCode = 202
      res.end()
    })
}
