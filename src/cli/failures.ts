/** `aftertask failures`: dead jobs in groups of one cause each. */
import type { FailureGroup } from '../engine/overview.ts'
import { askFlags, asking, askUsage, EXIT } from './command.ts'
import { styled } from './output.ts'
import { since, tableLines } from './table.ts'
import { queryOf, whereFlags, whereUsage } from './where.ts'

const usage = `aftertask failures [--where QUERY]
${whereUsage}
${askUsage}`

/** `aftertask failures`. */
export const failures = asking(
  usage,
  { ...askFlags, ...whereFlags },
  'look',
  async ({ values, reach, out }) => {
    const groups = await reach.ask<readonly FailureGroup[]>('failures', {
      query: queryOf(values, Date.now()),
    })
    if (values.json) for (const group of groups) out.json(group)
    else if (groups.length === 0) out.line('No job is dead.')
    else {
      const now = Date.now()
      const rows = groups.map((group) => [
        String(group.count),
        group.task,
        styled('red', group.code),
        since(group.firstAt, now),
        since(group.lastAt, now),
        group.isNew ? styled('yellow', 'new') : '',
        group.frame === undefined ? group.message : `${group.message} (${group.frame})`,
      ])
      for (const line of tableLines(['jobs', 'task', 'error', 'first', 'last', '', ''], rows))
        out.line(line, true)
    }
    return EXIT.done
  },
)
