/** The way to the journal: a thread of its own, so that no write to the disk ever happens on the event loop. */
import { Worker } from 'node:worker_threads'
import type { JournalSetup } from '../../rules/journal-protocol.ts'
import { JOURNAL_THREAD, mustBeThere } from '../../rules/thread-entries.ts'

/** What comes from the journal. */
export interface LinkHost {
  receive(message: readonly unknown[]): void
  /** The journal is gone, without having closed. */
  ended(error: Error | undefined): void
}

/** The way to a journal, which a thread has in production. */
export interface JournalLink {
  /** Throws when no thread can be made. */
  start(setup: JournalSetup, host: LinkHost): void
  /** Throws when something cannot be copied to the thread; nothing is sent then. */
  post(message: readonly unknown[]): void
  /** Whether an answer is awaited: only then is the process kept alive. */
  await(isAwaited: boolean): void
  /** Resolves when nothing of the journal is left. */
  stop(): Promise<void>
}

/** A journal in a thread. */
export class ThreadLink implements JournalLink {
  /** As it is now: a thread that is started later finds the same. What preloads code is not for this thread. */
  readonly #env: NodeJS.ProcessEnv = { ...process.env, NODE_OPTIONS: undefined }
  #worker: Worker | undefined
  #exited: Promise<void> = Promise.resolve()

  /** @throws BundledError when the code of the thread is not where it should be. */
  constructor() {
    mustBeThere(JOURNAL_THREAD)
  }

  start(setup: JournalSetup, host: LinkHost): void {
    let error: Error | undefined
    const worker = new Worker(JOURNAL_THREAD, {
      workerData: setup,
      name: 'aftertask journal',
      env: this.#env,
      // Where node:sqlite still counts as experimental, nobody needs to be told by us.
      execArgv: ['--disable-warning=ExperimentalWarning'],
    })
    this.#worker = worker
    worker.on('message', (message: readonly unknown[]) => host.receive(message))
    worker.on('error', (cause: Error) => {
      error = cause
    })
    this.#exited = new Promise((resolve) => {
      worker.on('exit', () => {
        if (this.#worker === worker) this.#worker = undefined
        resolve()
        host.ended(error)
      })
    })
  }

  /** Ends the thread as a fault in it would: for tests. */
  async kill(): Promise<void> {
    await this.#worker?.terminate()
  }

  post(message: readonly unknown[]): void {
    this.#worker?.postMessage(message)
  }

  await(isAwaited: boolean): void {
    if (isAwaited) this.#worker?.ref()
    else this.#worker?.unref()
  }

  async stop(): Promise<void> {
    this.#worker?.ref()
    await this.#exited
  }
}
