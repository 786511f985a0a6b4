import { describe, expect, test } from 'vitest'
import { Emitter } from '../../src/words/events.ts'

const event = { pool: 'default', thread: 1 }

function emitter(): { events: Emitter; errors: unknown[] } {
  const errors: unknown[] = []
  return { events: new Emitter((name, error) => errors.push([name, error])), errors }
}

describe('a listener', () => {
  test('that throws is contained: the others still hear, and the error is told', () => {
    const { events, errors } = emitter()
    const heard: unknown[] = []
    const thrown = new Error('listener')
    events.on('thread:started', () => {
      throw thrown
    })
    events.on('thread:started', (told) => heard.push(told))
    events.emit('thread:started', event)
    expect(heard).toEqual([event])
    expect(errors).toEqual([['thread:started', thrown]])
  })

  test('that rejects is contained too', async () => {
    const { events, errors } = emitter()
    events.on('thread:started', async () => {
      throw new Error('later')
    })
    events.emit('thread:started', event)
    await new Promise((resolve) => setImmediate(resolve))
    expect(errors).toMatchObject([['thread:started', { message: 'later' }]])
  })

  test('that is taken off hears no more, also from within a listener', () => {
    const { events } = emitter()
    const heard: string[] = []
    const second = (): void => void heard.push('second')
    events.on('thread:started', () => {
      heard.push('first')
      events.off('thread:started', second)
    })
    events.on('thread:started', second)
    events.emit('thread:started', event)
    events.emit('thread:started', event)
    expect(heard.filter((name) => name === 'first')).toHaveLength(2)
    expect(heard.filter((name) => name === 'second').length).toBeLessThanOrEqual(1)
  })

  test('that is added twice hears once', () => {
    const { events } = emitter()
    let heard = 0
    const listener = (): void => void heard++
    events.on('thread:started', listener)
    events.on('thread:started', listener)
    events.emit('thread:started', event)
    expect(heard).toBe(1)
  })
})

test('an emitter knows whether anybody listens', () => {
  const { events } = emitter()
  const listener = (): void => {}
  expect(events.has('job:dead')).toBe(false)
  events.on('job:dead', listener)
  expect(events.has('job:dead')).toBe(true)
  events.off('job:dead', listener)
  expect(events.has('job:dead')).toBe(false)
})
