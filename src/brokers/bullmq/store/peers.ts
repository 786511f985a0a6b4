/** The optional packages, loaded when the broker is opened. */
import { PeerMissingError } from '../../../words/errors.ts'

/** Imports an optional package. Rejects with PeerMissingError, which says what to install. */
export async function peer<Module>(name: string, load: () => Promise<Module>): Promise<Module> {
  try {
    return await load()
  } catch (cause) {
    const code = Reflect.get(cause as object, 'code')
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw cause
    throw new PeerMissingError(name, 'aftertask/bullmq', { cause })
  }
}
