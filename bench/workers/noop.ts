/** The job that does nothing: what is left is the price of having it done. */
export default function noop(): void {
  // Nothing.
}
