/** Handlers written for one test: modules in a folder that is removed when the test is over. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { onTestFinished } from 'vitest'
import { z } from 'zod'
import { defineTask, type Task, type TaskOptions } from '../../src/rules/task.ts'

type Policy = Partial<Omit<TaskOptions<string, unknown, unknown, unknown, unknown>, 'name' | 'handler'>>

/** A folder of handlers. */
export class WrittenHandlers {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'aftertask-handlers-')))

  constructor() {
    onTestFinished(() => rmSync(this.folder, { recursive: true }))
  }

  /** A task whose handler is the default export of this source. */
  task(name: string, source: string, policy: Policy = {}): Task<string, unknown> {
    this.write(`${name}.mjs`, source)
    return this.taskIn(name, `${name}.mjs`, policy)
  }

  /** A task whose handler is in a file of this folder, whether or not that is there. */
  taskIn(name: string, file: string, policy: Policy = {}): Task<string, unknown> {
    const handler = pathToFileURL(join(this.folder, file))
    return defineTask({ payload: z.unknown(), ...policy, name, handler }) as Task<string, unknown>
  }

  write(file: string, source: string): void {
    const path = join(this.folder, file)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, source)
  }
}
