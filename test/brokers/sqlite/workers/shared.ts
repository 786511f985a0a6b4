import { appendFileSync } from 'node:fs'
import type { HandlerContext } from '../../../../src/index.ts'

/** Ends only when it is told to. */
export const waits = (_payload: unknown, { signal }: HandlerContext): Promise<never> =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })

/** When it began and ended, on a clock that all processes share. */
export const spans = async (): Promise<readonly [number, number]> => {
  const began = Number(process.hrtime.bigint())
  await new Promise((resolve) => setTimeout(resolve, 2))
  return [began, Number(process.hrtime.bigint())]
}

/** Says that it starts, and does not end. */
export const lasts = async (): Promise<void> => {
  appendFileSync(process.env['STARTS'] ?? '', 'start\n')
  await new Promise(() => setInterval(() => {}, 1000))
}
