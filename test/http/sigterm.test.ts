import { describe, expect, test } from 'vitest'
import { playRound } from './sigterm/rounds.ts'

describe('SIGTERM under load', () => {
  test.each([60, 200])(
    'leaves no accepted job unaccounted for, and exits with 1 if one was lost, after %i answers',
    async (answers) => {
      const round = await playRound(answers)
      expect(round.accepted).toBeGreaterThan(answers / 2)
      expect(round.unaccounted).toEqual([])
      expect(round.exitCode).toBe(round.lost > 0 ? 1 : 0)
    },
  )
})
