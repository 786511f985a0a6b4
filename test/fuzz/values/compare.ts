/** Tells what of a value did not arrive as it should. */
import { inspect, isDeepStrictEqual } from 'node:util'
import { make, type Recipe } from './recipes.ts'

/** What is wrong with a value that has arrived; undefined when nothing is. */
export function differs(value: unknown, recipe: Recipe): string | undefined {
  if (recipe[0] === 'deep') return differsBelow(value, recipe[1], recipe[2])
  // What errors lose is not looked at here.
  if (losesInErrors(recipe)) return undefined
  const expected = make(recipe, 'arrived')
  const isRight = recipe[0] === 'dag' ? isShared(value, recipe[1]) : isDeepStrictEqual(value, expected)
  if (isRight) return ownMemory(value)
  return `${inspect(value, { depth: 6 })} arrived in place of ${inspect(expected, { depth: 6 })}`
}

function differsBelow(value: unknown, depth: number, leaf: Recipe): string | undefined {
  let inner = value
  for (let level = 0; level < depth; level++) inner = Reflect.get(Object(inner), 'next')
  return differs(inner, leaf)
}

function isShared(value: unknown, depth: number): boolean {
  let inner = value
  for (let level = 0; level < depth; level++) {
    const { left, right } = Object(inner)
    if (left !== right) return false
    inner = left
  }
  return true
}

/** Bytes have memory of their own. */
function ownMemory(value: unknown): string | undefined {
  if (!ArrayBuffer.isView(value) || value.byteLength === value.buffer.byteLength) return undefined
  return `${value.byteLength} bytes arrived in ${value.buffer.byteLength} bytes of memory`
}

function losesInErrors(recipe: Recipe): boolean {
  const text = JSON.stringify(recipe)
  return (
    text.includes('"error"') &&
    (text.includes('"refused"') ||
      text.includes('"moody"') ||
      text.includes('"class",[]') ||
      text.includes('"deep"') ||
      text.includes('"dag"'))
  )
}
