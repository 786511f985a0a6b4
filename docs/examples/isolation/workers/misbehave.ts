import type { Handler } from 'aftertask'
import type { misbehave } from '../tasks.ts'

const deeds: Record<string, () => unknown> = {
  exit: () => process.exit(7),
  reject: () => {
    void Promise.reject(new Error('nobody awaits this'))
    return new Promise(() => {})
  },
  loop: () => {
    for (;;);
  },
  memory: () => {
    const all: number[][] = []
    for (;;) all.push(new Array<number>(100_000).fill(Math.random()))
  },
  function: () => ({ callback: () => {} }),
  global: () => {
    Reflect.set(globalThis, 'leak', true)
    process.env['LEAK'] = 'yes'
  },
}

const handler: Handler<typeof misbehave> = (deed) => deeds[deed]?.()
export default handler
