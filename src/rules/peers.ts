/** Optional packages, loaded where somebody uses the subpath that needs them. */
import { createRequire } from 'node:module'
import { PeerMissingError } from '../words/errors.ts'

/** Looks whether an optional package is there, without loading it. Throws PeerMissingError, which says what to install. */
export function expectPeer(name: string, subpath: string): void {
  try {
    createRequire(import.meta.url).resolve(name)
  } catch (cause) {
    // Whatever else there is to say about it, its import will.
    if (Reflect.get(cause as object, 'code') === 'MODULE_NOT_FOUND') {
      throw new PeerMissingError(name, subpath, { cause })
    }
  }
}

/** Imports an optional package. Rejects with PeerMissingError, which says what to install. */
export async function peer<Module>(
  name: string,
  subpath: string,
  load: () => Promise<Module>,
): Promise<Module> {
  try {
    return await load()
  } catch (cause) {
    const code = Reflect.get(cause as object, 'code')
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw cause
    throw new PeerMissingError(name, subpath, { cause })
  }
}
