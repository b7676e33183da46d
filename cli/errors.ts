/** How commands fail: one line on the standard error, and an exit code. */

/** Everything was done. */
export const EXIT_DONE = 0;
/** Wrong usage, or nothing could be done. */
export const EXIT_NOTHING = 1;
/** Some of the work was done. */
export const EXIT_PARTLY = 2;

export type ExitCode = typeof EXIT_DONE | typeof EXIT_NOTHING | typeof EXIT_PARTLY;

/** Something the user can put right; the message says how. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const LONGEST_MESSAGE = 4000;

/** Text as it may go to a terminal: no control characters, however it came into a file name or a message. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const named = JSON.stringify(character).slice(1, -1);
    return named === character ? `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}` : named;
  });
}

/** What went wrong, in one line. */
export function describeError(error: unknown): string {
  const message = error instanceof Error ? error.message || error.name : String(error);
  const line = printable(message.replace(/\s*[\r\n]+\s*/g, ' ').trim());
  return line.length <= LONGEST_MESSAGE ? line : `${line.slice(0, LONGEST_MESSAGE)}...`;
}

const fileReasons: ReadonlyMap<unknown, string> = new Map([
  ['ENOENT', 'no such file or folder'],
  ['EACCES', 'permission denied'],
  ['EPERM', 'permission denied'],
  ['ENOTDIR', 'part of the path is a file, not a folder'],
  ['EISDIR', 'is a folder'],
  ['ELOOP', 'links go round in a circle'],
  ['ENOSPC', 'the disk is full'],
]);

/** Reasons of the file system in plain words, without the path, which the caller names. */
export function fileReason(error: unknown): string {
  return fileReasons.get((error as NodeJS.ErrnoException).code) ?? describeError(error);
}
