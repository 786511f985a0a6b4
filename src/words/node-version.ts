/** Which Node this package runs on, asked once where it is imported. */
import { NodeVersionError } from './errors.ts'

const [MAJOR, MINOR] = [22, 18]

/**
 * Refuses a Node that lacks what this package is made of, before anything fails in the middle.
 *
 * @throws NodeVersionError naming the version that is needed, and the one that is there.
 */
export function expectNode(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > MAJOR || (major === MAJOR && minor >= MINOR)) return
  throw new NodeVersionError(version)
}
