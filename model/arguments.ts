/** Checks of what callers pass: each throws in one line that names the argument, its value and what was expected. */

/** The kind of a value, right for arrays of other realms too. */
export function kindOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}

/** A value as messages show it: short ones themselves, else their kind. */
function shown(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return Object(value) === value || text.length > 60 ? kindOf(value) : text;
}

/** @throws Error unless the value is absent or a whole number from `least` to `most` */
export function checkWhole(name: string, value: number | undefined, least: number, most = Infinity): void {
  if (value !== undefined && (!Number.isInteger(value) || value < least || value > most)) {
    const range = `from ${least} ${most === Infinity ? 'on' : `to ${most}`}`;
    throw new Error(`${name} ${shown(value)}: expected a whole number ${range}.`);
  }
}

/** @throws Error unless the value is absent or a finite number of at least `least` */
export function checkNumber(name: string, value: number | undefined, least: number): void {
  if (value !== undefined && (!Number.isFinite(value) || value < least)) {
    throw new Error(`${name} ${shown(value)}: expected a number from ${least} on.`);
  }
}

/** @throws Error unless the value is absent or text */
export function checkText(name: string, value: string | undefined): void {
  if (value !== undefined && typeof value !== 'string') {
    throw new Error(`${name} ${shown(value)}: expected text.`);
  }
}

/** @throws Error unless the value is absent or one of the choices */
export function checkChoice<T extends string>(
  name: string,
  value: T | undefined,
  choices: readonly T[],
): void {
  if (value !== undefined && !choices.includes(value)) {
    throw new Error(`${name} ${shown(value)}: expected ${choices.join(' or ')}.`);
  }
}

/** @throws Error unless the value is absent or true or false: other values would count as one of them unseen */
export function checkFlag(name: string, value: boolean | undefined): void {
  if (value !== undefined && typeof value !== 'boolean') {
    throw new Error(`${name} ${shown(value)}: expected true or false.`);
  }
}

/** @throws Error unless the value is an object with the methods */
export function checkMethods(
  name: string,
  value: unknown,
  methods: readonly string[],
  expected: string,
): void {
  const given = Object(value) as Readonly<Record<string, unknown>>;
  if (!methods.every((method) => typeof given[method] === 'function')) {
    throw new Error(`${name} is ${shown(value)}; give ${expected}.`);
  }
}

/** @throws Error unless the value is absent or a function */
export function checkFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function') {
    throw new Error(`${name} ${shown(value)}: expected a function.`);
  }
}

/** @throws Error unless the value is an object of options */
export function checkOptions(value: unknown, example: string): void {
  if (kindOf(value) !== 'Object')
    throw new Error(`options are ${shown(value)}; give an object, as ${example}.`);
}
