/** Does nothing: the calls are what is looked at. */
export default function nothing(): void {}
