/** What a command asks, whatever it is, and what a store is called. */
import type { OperationName } from '../control/api.ts'
import type { ToldEvent } from '../control/event-stream.ts'
import { withoutCredentials } from '../rules/secrets.ts'
import { OptionsInvalidError } from '../words/errors.ts'

/** What answers. */
export interface Reach {
  /** What it is, in words. */
  readonly name: string
  /** Asks for an operation. */
  ask<Answer = unknown>(op: OperationName, args?: object): Promise<Answer>
  /** Hears the events that fit a filter; null where there is nothing that runs. */
  readonly follow: ((filter: object, take: (event: ToldEvent) => void) => Promise<void>) | null
  /** Resolves when it answers no more. */
  readonly gone: Promise<void>
  close(): Promise<void>
}

const STORE = /^(?:(?:redis|valkey)s?|postgres(?:ql)?):\/\//

/** @throws OptionsInvalidError for what is no URL of a store. */
export function expectStore(store: string): string {
  if (STORE.test(store)) return store
  throw new OptionsInvalidError(
    `--store ${withoutCredentials(store)}: expected a URL that starts with redis://, rediss://, valkey://, postgres:// or postgresql://.`,
    'store',
  )
}
