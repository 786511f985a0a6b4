/** Profiles its own thread, from one call to the next, while the jobs between them run. */
import { type Profiler, Session } from 'node:inspector/promises'

let session: Session | undefined

/** Begins; when called again, ends and returns the profile as JSON. */
export default async function profiled(): Promise<string | undefined> {
  if (session === undefined) {
    session = new Session()
    session.connect()
    await session.post('Profiler.enable')
    await session.post('Profiler.setSamplingInterval', { interval: 200 })
    await session.post('Profiler.start')
    return undefined
  }
  const { profile }: { profile: Profiler.Profile } = await session.post('Profiler.stop')
  session.disconnect()
  session = undefined
  return JSON.stringify(profile)
}
