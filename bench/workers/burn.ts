/** The job that only computes: it keeps a processor busy until it has used so many milliseconds of CPU time. */
export default function burn({ milliseconds }: { milliseconds: number }): number {
  const start = used()
  let turns = 0
  let value = 0
  do {
    for (let index = 0; index < 20_000; index++) value = Math.sqrt(value + index)
    turns++
  } while (used() - start < milliseconds)
  return turns
}

/** CPU milliseconds of this thread. */
function used(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
