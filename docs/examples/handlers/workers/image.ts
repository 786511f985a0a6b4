import type { Handler } from 'aftertask'
import type { invert as task } from '../tasks.ts'

export const invert: Handler<typeof task> = ({ pixels }, { transfer }) => {
  const inverted = pixels.map((value) => 255 - value)
  return transfer({ inverted }, [inverted.buffer])
}
