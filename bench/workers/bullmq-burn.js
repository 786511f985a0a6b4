/** BullMQ's sandboxed processor: the same work as ours. */
import burn from './burn.ts'

/** @param {{ data: { milliseconds: number } }} job */
export default async function run(job) {
  return burn(job.data)
}
