/** CPU time of the main thread alone: what the process's own figure cannot tell, since it adds up all threads. */
import { existsSync, readFileSync } from 'node:fs'

const FILE = `/proc/self/task/${process.pid}/schedstat`
const hasFile = existsSync(FILE)

/** Microseconds of CPU that the calling process's main thread has used. To be called on that thread. */
export function mainThreadCpu(): number {
  if (hasFile) return Number(readFileSync(FILE, 'latin1').split(' ', 1)[0]) / 1000
  const { user, system } = process.threadCpuUsage()
  return user + system
}
