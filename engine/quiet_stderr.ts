/**
 * Runs a call whose native code writes warnings to the standard error, without them. Dawn reports two lowered
 * limits of lavapipe at every request for an adapter, and has no switch for it.
 *
 * Only on Linux under Node, where a closed descriptor 2 is the next to be opened; anything unexpected leaves the
 * standard error as it is. The native work happens within the call itself, before any other code can write.
 */
export async function withQuietStderr<T>(call: () => Promise<T>): Promise<T> {
  if (typeof process === 'undefined' || process.platform !== 'linux' || process.env['CLIP4STR_VERBOSE']) {
    return call();
  }
  const { closeSync, openSync } = await import('node:fs');
  let saved: number;
  try {
    saved = openSync('/proc/self/fd/2', 'a');
  } catch {
    return call();
  }
  let pending: Promise<T>;
  closeSync(2);
  const sink = openSync('/dev/null', 'w');
  try {
    pending = call();
  } finally {
    closeSync(sink);
    openSync(`/proc/self/fd/${saved}`, 'a');
    closeSync(saved);
  }
  return pending;
}
