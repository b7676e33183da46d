/** Checks of what callers pass: each throws in one line that names the argument, its value and what was expected. */

/** @throws Error unless the value is absent or a whole number from `least` to `most` */
export function checkWhole(name: string, value: number | undefined, least: number, most = Infinity): void {
  if (value !== undefined && (!Number.isInteger(value) || value < least || value > most)) {
    const range = `from ${least} ${most === Infinity ? 'on' : `to ${most}`}`;
    throw new Error(`${name} ${value}: expected a whole number ${range}.`);
  }
}

/** @throws Error unless the value is absent or one of the choices */
export function checkChoice<T extends string>(
  name: string,
  value: T | undefined,
  choices: readonly T[],
): void {
  if (value !== undefined && !choices.includes(value)) {
    throw new Error(`${name} ${JSON.stringify(value)}: expected ${choices.join(' or ')}.`);
  }
}
