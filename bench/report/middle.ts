/** The one in the middle by value; of an even number the upper one. */
export function middle<T>(items: readonly T[], value: (item: T) => number): T {
  return items.toSorted((a, b) => value(a) - value(b))[items.length >> 1]!;
}

export function median(values: readonly number[]): number {
  return middle(values, (value) => value);
}
