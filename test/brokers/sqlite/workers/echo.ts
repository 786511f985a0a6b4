export const echo = (payload: unknown): unknown => payload

export const fails = (_payload: unknown, { attempt }: { attempt: number }): never => {
  throw new RangeError(`attempt ${attempt} failed`)
}
