/** What is asked for in one turn of the event loop goes to the store in one piece: a command costs more than what it does. */

interface Asked<Item, Answer> {
  readonly item: Item
  readonly answered: PromiseWithResolvers<Answer>
}

/** How items are sent. */
export interface Sending<Item, Answer> {
  /** At most so many items at a time, and so many times at once. */
  readonly most: number
  readonly atOnce: number
  /** Resolves to the answer for each item, or to its fault. */
  send(items: readonly Item[]): Promise<readonly (Answer | Error)[]>
  /** True for a fault that tells that nothing was done, since something is wrong with one of the items. */
  hasUndone(fault: unknown): boolean
}

/** Gathers items, and sends them together. */
export class Gather<Item, Answer> {
  readonly #sending: Sending<Item, Answer>
  #asked: Asked<Item, Answer>[] = []
  #underWay = 0

  constructor(sending: Sending<Item, Answer>) {
    this.#sending = sending
  }

  /** Resolves to the answer of the store. */
  add(item: Item): Promise<Answer> {
    const answered = Promise.withResolvers<Answer>()
    this.#asked.push({ item, answered })
    if (this.#asked.length === 1) setImmediate(() => this.flush())
    else if (this.#asked.length >= this.#sending.most) this.flush()
    return answered.promise
  }

  /** Sends what there is. What comes while enough is under way goes with the next. */
  flush(): void {
    if (this.#asked.length === 0 || this.#underWay >= this.#sending.atOnce) return
    this.#underWay++
    const asked = this.#asked
    this.#asked = []
    void this.#send(asked).finally(() => {
      this.#underWay--
      this.flush()
    })
  }

  async #send(asked: readonly Asked<Item, Answer>[]): Promise<void> {
    try {
      const answers = await this.#sending.send(asked.map(({ item }) => item))
      for (const [at, { answered }] of asked.entries()) {
        const answer = answers[at] as Answer | Error
        if (answer instanceof Error) answered.reject(answer)
        else answered.resolve(answer)
      }
    } catch (fault) {
      // Without a word from the store it may be done or not: whoever tries again has to find out.
      if (asked.length > 1 && this.#sending.hasUndone(fault)) {
        await Promise.all(asked.map((one) => this.#send([one])))
      } else for (const { answered } of asked) answered.reject(fault)
    }
  }
}
