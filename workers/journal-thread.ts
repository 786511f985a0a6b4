/** The entry of the thread that owns the journal's file. */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { FROM_JOURNAL, type JournalFault, type JournalSetup } from '../src/rules/journal-protocol.ts'
import { faultOf } from './journal/file.ts'
import { Journal } from './journal/journal.ts'
import { codeOf, JournalError } from './journal/journal-error.ts'
import { JournalReader } from './journal/reader.ts'
import { JournalService, type Message } from './journal/service.ts'

function start(port: MessagePort, setup: JournalSetup): void {
  try {
    if (setup.isReadOnly) return read(port, setup)
    const journal = new Journal(setup)
    const opened = journal.open(sleep)
    const service = new JournalService(
      journal,
      {
        post: (message) => port.postMessage(message),
        next: () => receiveMessageOnPort(port)?.message as Message | undefined,
        timer(milliseconds, callback) {
          const timer = setTimeout(callback, milliseconds)
          return () => clearTimeout(timer)
        },
        wall: () => Date.now(),
        ended: () => port.close(),
        died: (why) => {
          throw why
        },
      },
      setup.isShared,
    )
    port.on('message', (message: Message) => service.take(message))
    port.postMessage([FROM_JOURNAL.opened, opened])
  } catch (error) {
    port.postMessage([FROM_JOURNAL.refused, whyNot(error, setup.file)])
    port.close()
  }
}

function read(port: MessagePort, setup: JournalSetup): void {
  const reader = new JournalReader(setup)
  port.on('message', (message: Message) => {
    const answer = reader.take(message)
    if (answer !== undefined) port.postMessage(answer)
    if (answer?.[0] === FROM_JOURNAL.closed) port.close()
  })
  port.postMessage([FROM_JOURNAL.opened, reader.opened()])
}

function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}

function whyNot(error: unknown, file: string): JournalFault {
  if (error instanceof JournalError) return error.fault
  // Reading may show first that a file is damaged, and writing that it must not be written.
  if (codeOf(error) !== 0) return faultOf(error, file)
  return { kind: 'io', message: error instanceof Error ? (error.stack ?? error.message) : String(error) }
}

if (parentPort !== null) start(parentPort, workerData as JournalSetup)
