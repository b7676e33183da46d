/**
 * Runs a call whose native code writes warnings to the standard error, without them. Dawn reports two lowered
 * limits of lavapipe at every request for an adapter, and has no switch for it.
 *
 * Only on Linux under Node, where a closed descriptor 2 is the next to be opened; anything unexpected leaves the
 * standard error as it is. So does a regular file: opened again it has a position of its own, and what others write to
 * it, such as the standard output in `> log 2>&1`, would overwrite ours. Descriptors belong to the whole process: this
 * is for a command line at its start, before other threads open files.
 */
export async function withQuietStderr<T>(call: () => Promise<T>): Promise<T> {
  if (typeof process === 'undefined' || process.platform !== 'linux') return call();
  const { closeSync, fstatSync, openSync } = await import('node:fs');
  let saved: number;
  try {
    if (fstatSync(2).isFile()) return call();
    saved = openSync('/proc/self/fd/2', 'a');
  } catch {
    return call();
  }
  closeSync(2);
  const sink = openSync('/dev/null', 'w');
  try {
    // The native work happens within the call itself, before any other code of this thread can write.
    return call();
  } finally {
    closeSync(sink);
    openSync(`/proc/self/fd/${saved}`, 'a');
    closeSync(saved);
  }
}
