/** A binary heap: the least item first, by the given order. O(log n) to push and pop. */
export class Heap<T> {
  readonly #items: T[] = []
  readonly #order: (a: T, b: T) => number

  constructor(order: (a: T, b: T) => number) {
    this.#order = order
  }

  get length(): number {
    return this.#items.length
  }

  peek(): T | undefined {
    return this.#items[0]
  }

  push(item: T): void {
    const items = this.#items
    let at = items.length
    items.push(item)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = items[parent] as T
      if (this.#order(above, item) <= 0) break
      items[at] = above
      at = parent
    }
    items[at] = item
  }

  pop(): T | undefined {
    const items = this.#items
    const least = items[0]
    const last = items.pop()
    if (items.length > 0 && last !== undefined) this.#sink(last)
    return least
  }

  /** Keeps only the items that pass, in O(n). */
  retain(keep: (item: T) => boolean): void {
    const kept = this.#items.filter(keep)
    this.#items.length = 0
    for (const item of kept) this.push(item)
  }

  #sink(item: T): void {
    const items = this.#items
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= items.length) break
      if (child + 1 < items.length && this.#order(items[child + 1] as T, items[child] as T) < 0) child++
      const below = items[child] as T
      if (this.#order(item, below) <= 0) break
      items[at] = below
      at = child
    }
    items[at] = item
  }
}
