/** A first-in first-out queue over one array used as a circle: O(1) at any length, no allocation per item. */
export class Ring<T> {
  #items: (T | undefined)[] = new Array(64)
  #head = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(item: T): void {
    if (this.#length === this.#items.length) this.#resize(this.#length * 2)
    this.#items[(this.#head + this.#length) & (this.#items.length - 1)] = item
    this.#length++
  }

  peek(): T | undefined {
    return this.#length === 0 ? undefined : this.#items[this.#head]
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#items.length - 1)
    this.#length--
    // A burst must not hold its memory for ever.
    if (this.#items.length > 4096 && this.#length < this.#items.length / 8)
      this.#resize(this.#items.length / 4)
    return item
  }

  /** Keeps only the items that pass, in their order, and the room that those need. O(n). */
  retain(keep: (item: T) => boolean): void {
    const kept = [...this].filter(keep)
    let size = 64
    while (size < kept.length) size *= 2
    this.#items = new Array(size)
    for (const [index, item] of kept.entries()) this.#items[index] = item
    this.#head = 0
    this.#length = kept.length
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let index = 0; index < this.#length; index++) {
      yield this.#items[(this.#head + index) & (this.#items.length - 1)] as T
    }
  }

  #resize(size: number): void {
    const items: (T | undefined)[] = new Array(size)
    for (let index = 0; index < this.#length; index++) {
      items[index] = this.#items[(this.#head + index) & (this.#items.length - 1)]
    }
    this.#items = items
    this.#head = 0
  }
}
