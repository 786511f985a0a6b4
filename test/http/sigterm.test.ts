import { describe, expect, test } from 'vitest'
import { playRound, TIMEOUT } from './sigterm/rounds.ts'

describe('SIGTERM under load', () => {
  test.each([60, 200])(
    'leaves no accepted job unaccounted for and exits by its deadline, after %i answers',
    async (answers) => {
      const round = await playRound(answers)
      expect(round.accepted).toBeGreaterThan(answers / 2)
      expect(round.unaccounted).toEqual([])
      expect(round.exitCode).toBe(round.lost > 0 ? 1 : 0)
      expect(round.took).toBeLessThan(TIMEOUT + 1000)
    },
  )
})
