/** The entry of a thread in which it is looked at what handlers leave behind: as that of any other, with a look around each run. */
import type { LaneReady, LaneSetup } from '../src/rules/protocol.ts'
import { watched } from './isolation/watched-runs.ts'
import { setUpThread } from './task-thread.ts'

export default function setUp(setup: LaneSetup): Promise<LaneReady> {
  return setUpThread(setup, (loaded) => watched(loaded, setup.port))
}
