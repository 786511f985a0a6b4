/** `aftertask cancel`, `revive`, `remove` and `run-now`: of jobs by their ids, or of all that fit a query. */
import type { OperationName } from '../control/api.ts'
import { OptionsInvalidError } from '../words/errors.ts'
import { type Asking, askFlags, asking, askUsage, type Command, EXIT } from './command.ts'
import { styled } from './output.ts'
import { queryOf, whereFlags, whereUsage } from './where.ts'

const flags = {
  ...askFlags,
  ...whereFlags,
  all: { type: 'boolean', default: false },
  'dry-run': { type: 'boolean', default: false },
} as const

interface Action {
  readonly name: string
  readonly one: OperationName
  readonly all: OperationName
  readonly does: string
  readonly done: string
}

function action({ name, one, all, does, done }: Action): Command {
  const usage = `aftertask ${name} ID...
aftertask ${name} --where QUERY [--dry-run]
  ${does}
${whereUsage}
  [--all]              every job that this can be done to, where no query is given
  [--dry-run]          says how many it would be, and does nothing
${askUsage}`
  const purpose = (values: Given['values']): 'look' | 'change' => (values['dry-run'] ? 'look' : 'change')
  return asking(usage, flags, purpose, async (given) => {
    const { values, positionals: ids } = given
    const query = queryOf(values, Date.now())
    const isByQuery = Object.keys(query).length > 0 || values.all
    if (isByQuery === ids.length > 0)
      throw new OptionsInvalidError(`Give the ids of jobs, or a query (--where), or --all.\n\n${usage}`)
    if (isByQuery) return onAll(given, { all, done }, query)
    if (values['dry-run'])
      throw new OptionsInvalidError('--dry-run goes with a query: of an id it is known what it names.')
    return onEach(given, { one, done }, ids)
  })
}

type Given = Asking<typeof flags>

async function onEach(
  { reach, values, out }: Given,
  { one, done }: Pick<Action, 'one' | 'done'>,
  ids: readonly string[],
): Promise<number> {
  let failed = 0
  for (const id of ids) {
    const isDone = await reach.ask<boolean>(one, { id })
    if (!isDone) failed++
    if (values.json) out.json({ id, done: isDone })
    else out.line([isDone ? styled('green', done) : styled('red', `not ${done}`), ` ${id}`])
  }
  return failed > 0 ? EXIT.failed : EXIT.done
}

async function onAll(
  { reach, values, out }: Given,
  { all, done }: Pick<Action, 'all' | 'done'>,
  query: object,
): Promise<number> {
  const dryRun = values['dry-run']
  const { matched, done: count } = await reach.ask<{ matched: number; done: number }>(all, { query, dryRun })
  if (values.json) out.json({ matched, done: count, dryRun })
  else if (dryRun) out.line(`${matched} fit. Without --dry-run they are ${done}.`)
  else out.line(`${count} of ${matched} ${done}.`)
  return EXIT.done
}

/** `aftertask cancel`. */
export const cancel = action({
  ...{ name: 'cancel', one: 'cancel', all: 'cancelAll', done: 'cancelled' },
  does: 'Cancels jobs that are not over; an attempt that is under way is asked to end.',
})

/** `aftertask revive`. */
export const revive = action({
  ...{ name: 'revive', one: 'revive', all: 'reviveAll', done: 'revived' },
  does: 'Lets dead jobs start over.',
})

/** `aftertask remove`. */
export const remove = action({
  ...{ name: 'remove', one: 'remove', all: 'removeAll', done: 'removed' },
  does: 'Forgets jobs that are over.',
})

/** `aftertask run-now`. */
export const runNow = action({
  ...{ name: 'run-now', one: 'runNow', all: 'runNowAll', done: 'due now' },
  does: 'Lets jobs be due that wait for their time, or for their next attempt.',
})
