const LONGEST_MESSAGE = 4000;

/** Makes text from a file or a library fit on one line of a terminal: no control characters, bounded length. */
export function oneLine(text: string): string {
  const printable = text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trim();
  return printable.length <= LONGEST_MESSAGE ? printable : `${printable.slice(0, LONGEST_MESSAGE)}...`;
}

/** A name read from a file, quoted when it would not read as a name, cut when long. */
export function shownName(name: string): string {
  const cut = name.length <= 120 ? name : `${name.slice(0, 120)}...`;
  return /^[\w.\-/:]+$/.test(name) ? cut : JSON.stringify(cut);
}

/** What is wrong with a file: one line that starts with the file's name. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError';

  constructor(
    readonly fileName: string,
    readonly problem: string,
    options?: ErrorOptions,
  ) {
    super(oneLine(`${fileName}: ${problem}`), options);
  }
}
