import { expect, onTestFinished, test, vi } from 'vitest'
import { onStopSignals, SAME_REQUEST } from '../../src/engine/stop-signals.ts'
import { HandClock } from '../kit/hand-clock.ts'

// Nothing else here listens to it, and it is never really sent.
const signal = 'SIGUSR2'

function listening(): { clock: HandClock; heard: string[]; remove: () => void } {
  const clock = new HandClock()
  const heard: string[] = []
  const remove = onStopSignals({
    signals: [signal, 'SIGHUP'],
    clock,
    begin: (which) => heard.push(`begin ${which}`),
    hurry: (which) => heard.push(`hurry ${which}`),
  })
  onTestFinished(remove)
  return { clock, heard, remove }
}

function send(which: 'SIGUSR2' | 'SIGHUP' = signal): void {
  process.emit(which, which)
}

test('signals within half a second of the first are one request, whichever they are', () => {
  const { clock, heard } = listening()
  send()
  send('SIGHUP')
  clock.advance(SAME_REQUEST - 1)
  send()
  expect(heard).toEqual(['begin SIGUSR2'])
})

test('a signal half a second after the first is a second request, and those close behind it belong to it', () => {
  const { clock, heard } = listening()
  send()
  clock.advance(SAME_REQUEST)
  send('SIGHUP')
  clock.advance(SAME_REQUEST - 1)
  send('SIGHUP')
  expect(heard).toEqual(['begin SIGUSR2', 'hurry SIGHUP'])
})

test('half a second after the second request signals have their default effect', () => {
  const { clock, heard } = listening()
  send()
  clock.advance(10_000)
  send()
  expect(process.listenerCount(signal)).toBe(1)
  clock.advance(SAME_REQUEST)
  expect([process.listenerCount(signal), process.listenerCount('SIGHUP'), heard.length]).toEqual([0, 0, 2])
})

test('a third request that is heard before that is sent on to the process itself', () => {
  const { clock } = listening()
  const kill = vi.spyOn(process, 'kill').mockReturnValue(true)
  onTestFinished(() => kill.mockRestore())
  send()
  clock.advance(SAME_REQUEST)
  send()
  // A loop that stood: the time is over, its timer has not come yet.
  vi.spyOn(clock, 'now').mockReturnValue(clock.now() + SAME_REQUEST)
  send('SIGHUP')
  expect(kill.mock.calls).toEqual([[process.pid, 'SIGHUP']])
  expect(process.listenerCount('SIGHUP')).toBe(0)
})

test('after the call that it returned nothing is heard any more', () => {
  const { clock, heard, remove } = listening()
  send()
  remove()
  clock.advance(SAME_REQUEST)
  send()
  expect(heard).toEqual(['begin SIGUSR2'])
})
