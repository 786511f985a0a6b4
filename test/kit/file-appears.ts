/** Waiting for a file that a handler makes in its own thread or process. */
import { existsSync, watch } from 'node:fs'
import { dirname } from 'node:path'

/** Resolves once the file is there. */
export function fileAppears(file: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(dirname(file))
    const look = (): void => {
      if (!existsSync(file)) return
      watcher.close()
      resolve()
    }
    watcher.on('change', look)
    // It may have come before it was watched for.
    look()
  })
}
