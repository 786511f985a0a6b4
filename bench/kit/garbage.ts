/** The garbage collector at hand, without a flag: threads that inherit this process's flags would refuse that one. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')

/** Collects garbage now: all of it, or only what is young. */
export const collect = runInNewContext('gc') as (options?: { type: 'minor' | 'major' }) => void
