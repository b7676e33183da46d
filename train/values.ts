/** Options as a YAML file gives them, not yet checked. */
export type Values = Readonly<Record<string, unknown>>;

export function isValues(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The values of both, those of `over` before those of `under`; lists are taken whole. */
export function mergeValues(under: Values, over: Values): Values {
  const merged = new Map(Object.entries(under));
  for (const [key, value] of Object.entries(over)) {
    const below = merged.get(key);
    merged.set(key, isValues(below) && isValues(value) ? mergeValues(below, value) : value);
  }
  return Object.fromEntries(merged);
}
