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

/** Reasons of the file system in plain words, without the path, which the caller names. */
export function fileReason(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return 'no such file or folder';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'ENOTDIR':
      return 'part of the path is a file, not a folder';
    case 'EISDIR':
      return 'is a folder';
    case 'ELOOP':
      return 'links go round in a circle';
    case 'ENOSPC':
      return 'the disk is full';
    default:
      return describeError(error);
  }
}
