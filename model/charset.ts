const digits = '0123456789';
const lowerCase = 'abcdefghijklmnopqrstuvwxyz';
const upperCase = lowerCase.toUpperCase();
const punctuation = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~';

const namedCharsets: ReadonlyMap<string, string> = new Map([
  ['36', digits + lowerCase],
  ['62', digits + lowerCase + upperCase],
  ['94', digits + lowerCase + upperCase + punctuation],
]);

/**
 * The characters of a charset given by name (`36`: digits and lower-case letters, `62`: with upper-case letters, `94`: with
 * ASCII punctuation) or spelled out as the characters themselves.
 *
 * @throws Error if the charset is no text, is empty or names a character twice.
 */
export function resolveCharset(nameOrCharacters: string): string {
  if (typeof nameOrCharacters !== 'string') {
    throw new Error(
      `charset ${String(nameOrCharacters)}: expected text: "36", "62", "94" or the characters themselves.`,
    );
  }
  const charset = namedCharsets.get(nameOrCharacters) ?? nameOrCharacters;
  const seen = new Set<string>();
  for (const character of charset) {
    if (seen.has(character)) {
      throw new Error(`charset: ${JSON.stringify(character)} occurs twice. List every character once.`);
    }
    seen.add(character);
  }
  if (seen.size === 0) {
    throw new Error('charset: no characters. Name one of 36, 62, 94 or spell the characters out.');
  }
  return charset;
}

/**
 * Brings text into a charset, as PARSeq's `CharsetAdapter` does: a charset without upper-case letters lower-cases, else one
 * without lower-case letters upper-cases; characters outside the charset are removed.
 */
export class CharsetAdapter {
  readonly lowerCaseOnly: boolean;
  readonly upperCaseOnly: boolean;
  readonly #supported: ReadonlySet<string>;

  /** @param charset name or characters, as for {@link resolveCharset}. */
  constructor(charset: string) {
    const characters = resolveCharset(charset);
    this.lowerCaseOnly = characters === characters.toLowerCase();
    this.upperCaseOnly = characters === characters.toUpperCase();
    this.#supported = new Set(characters);
  }

  adapt(text: string): string {
    let cased = text;
    if (this.lowerCaseOnly) cased = text.toLowerCase();
    else if (this.upperCaseOnly) cased = text.toUpperCase();
    return Array.from(cased)
      .filter((character) => this.#supported.has(character))
      .join('');
  }
}
