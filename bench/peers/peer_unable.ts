/** A peer cannot do some work, or cannot be opened at all. The message is the reason, in one line. */
export class PeerUnable extends Error {
  override name = 'PeerUnable';

  constructor(reason: string) {
    super(oneLine(reason));
  }
}

/** Why no peer does the smallest work, which they have in several operators at most. */
export const noOperator = 'no operator of its own for it';

/** Why most peers do not multiply by weights in int8. */
export const noInt8 = 'no weights in int8';

const longestReason = 400;

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > longestReason ? `${line.slice(0, longestReason - 1)}…` : line;
}

/** What went wrong, as a reason. */
export function reasonOf(error: unknown): string {
  return oneLine(error instanceof Error ? error.message : String(error));
}

/** Runs a peer's own code; whatever it throws becomes a {@link PeerUnable}. */
export async function orUnable<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw error instanceof PeerUnable ? error : new PeerUnable(reasonOf(error));
  }
}
