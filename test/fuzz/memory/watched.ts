/** Objects that are to be collected once nobody outside holds them. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

// What a turn of the loop has looked at stays until its end, and a collection may leave young objects to the next.
const COLLECTIONS = 6

/** Weak references by what they are to. */
export class Watched {
  readonly #seen = new Map<string, WeakRef<object>[]>()

  see<T extends object>(what: string, object: T): T {
    const seen = this.#seen.get(what) ?? []
    if (!seen.some((ref) => ref.deref() === object)) seen.push(new WeakRef(object))
    this.#seen.set(what, seen)
    return object
  }

  /** What is still there of each kind, beyond what may be. */
  async left(allowed: Readonly<Record<string, number>>): Promise<string | undefined> {
    let left: string | undefined
    for (let collection = 0; collection < COLLECTIONS; collection++) {
      await new Promise(setImmediate)
      collect()
      left = this.#tooMany(allowed)
      if (left === undefined) return undefined
    }
    return left
  }

  #tooMany(allowed: Readonly<Record<string, number>>): string | undefined {
    for (const [what, refs] of this.#seen) {
      const alive = refs.filter((ref) => ref.deref() !== undefined).length
      if (alive > (allowed[what] ?? 0)) return `${alive} of ${refs.length} ${what}s are still reachable`
    }
    return undefined
  }
}
