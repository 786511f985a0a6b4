/**
 * The witness: a process of its own, which reads the files and the store after it all is over, and prints its verdict.
 *
 * node test/chaos/witness.ts TRAIL DEEDS STORE LEASE STOP
 */
import { judge } from './judge.ts'
import { unendedIn } from './store-facts.ts'
import { type Deed, type Line, read } from './trail.ts'

const [trail = '', deeds = '', store = '', lease, stop] = process.argv.slice(2)
const lines = read<Line>(trail)
const verdict = judge(lines, read<Deed>(deeds), { lease: Number(lease), stop: Number(stop) })
const { dead = 0, ...unended } = await unendedIn(store)
const cancelling = lines.filter(({ what }) => what === 'cancelling').length
const faults = [
  ...verdict.faults,
  ...Object.entries(unended).map(([state, count]) => `${count} jobs are ${state} in the store at last`),
  ...(dead > cancelling ? [`${dead} jobs are dead in the store at last`] : []),
]
process.stdout.write(JSON.stringify({ ...verdict, faults }))
