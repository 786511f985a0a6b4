/** What the tasks do. */
export const quick = (): void => {}

export function spin({ ms }: { ms: number }): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

export function stubborn(): never {
  for (;;);
}
