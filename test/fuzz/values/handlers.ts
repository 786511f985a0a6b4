/** Handlers that are given values, and give them back in every way that there is. */
import type { HandlerContext } from '../../../src/rules/handler.ts'
import { differs } from './compare.ts'
import { make, type Recipe } from './recipes.ts'

/** Ways of a value out of a thread. */
export type Way = 'result' | 'progress' | 'log' | 'error' | 'nested'

/** Says what is wrong with a payload. */
export function receive([recipe, value]: [Recipe, unknown]): string | undefined {
  return differs(value, recipe)
}

/** Makes a value and sends it. */
export async function send(
  { recipe, way }: { recipe: Recipe; way: Way },
  ctx: HandlerContext,
): Promise<unknown> {
  const value = make(recipe, 'given')
  switch (way) {
    case 'result':
      // Of a promise the handler's caller would see what it resolves to.
      return { it: value }
    case 'progress':
      return void ctx.progress(value)
    case 'log':
      return void ctx.log.info('line', value)
    case 'error':
      throw Object.assign(new Error('thrown'), { own: value })
    case 'nested':
      return ctx.enqueue('receive', [recipe, value])
  }
}
