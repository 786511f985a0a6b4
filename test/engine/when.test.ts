/** What a predicate on the response may answer, and what becomes of a job whose predicate does not. */
import { expect, test } from 'vitest'
import { isFaultOfPredicate, whyNot } from '../../src/engine/when.ts'

const facts = { statusCode: 200, outcome: 'sent', error: undefined, method: 'GET', url: '/' } as const
const answer = (value: unknown): string | null => whyNot((() => value) as never, facts)

test('a predicate that answers true lets its job run, and one that answers false skips it', () => {
  expect(answer(true)).toBeNull()
  expect(answer(false)).toBe('its predicate refused the response (status 200, sent)')
  expect(isFaultOfPredicate(answer(false) ?? '')).toBe(false)
})

test.each<() => unknown>([
  () => undefined,
  () => 1,
  () => 'yes',
  () => ({}),
  () => Promise.resolve(true),
  () => Promise.reject(new Error('unseen')),
])('a predicate that answers neither true nor false skips its job, and is at fault: %s', (predicate) => {
  const reason = whyNot(predicate as never, facts) ?? ''
  expect(reason).toMatch(/^its predicate returned .*; expected true or false$/)
  expect(isFaultOfPredicate(reason)).toBe(true)
})

test('a predicate that throws skips its job, and is at fault', () => {
  const reason = whyNot(() => {
    throw new Error('mine')
  }, facts)
  expect(reason).toBe('its predicate threw Error: mine')
  expect(isFaultOfPredicate(reason ?? '')).toBe(true)
})

test('whatever a predicate throws, and whatever a request has failed with, only skips the job', () => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  const unreadable = Object.defineProperty(new Error('own'), 'message', {
    get: () => {
      throw new Error('of a getter')
    },
  })
  for (const thrown of [proxy, unreadable]) {
    const reason = whyNot(() => {
      throw thrown
    }, facts)
    expect(reason).toMatch(/^its predicate threw an? /)
    expect(whyNot('ok', { ...facts, error: thrown })).toMatch(/^the request failed: an? /)
  }
})
