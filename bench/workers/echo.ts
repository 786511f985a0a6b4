/** Gives back what it was given. */
export default function echo(value: unknown): unknown {
  return value
}
