/** A wrong wall clock for a child process, by Debian's faketime. The clock that never jumps is left alone. */
import { globSync } from 'node:fs'

const [library] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1')
const isThere = library !== undefined || process.env['CI'] !== undefined

/** Whether wrong clocks can be had here, and a note for the names of tests when not. */
export const wrongClocks = {
  areThere: isThere,
  note: isThere ? '' : ' (skipped: faketime is not installed)',
}

/** The environment of a process whose wall clock is so many seconds ahead, or behind below 0. */
export function wrongClock(seconds: number): Record<string, string> {
  return {
    LD_PRELOAD: library ?? 'libfaketimeMT.so.1',
    FAKETIME: `${seconds < 0 ? '' : '+'}${seconds}s`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  }
}
