/** Who did what: the event `audit`, which every action of a runtime ends with. */
import type { RuntimeEvents } from '../words/events.ts'
import type { Engine } from './engine.ts'

/** What was done, on what. */
export type Audited = Omit<RuntimeEvents['audit'], 'by' | 'added'> & { readonly added?: string }

/** Tells what was done, and who has done it. Nothing is put together where nobody listens. */
export function audit({ announcer }: Pick<Engine, 'announcer'>, by: string | undefined, done: Audited): void {
  if (announcer.events.has('audit')) announcer.events.emit('audit', { added: undefined, ...done, by })
}
