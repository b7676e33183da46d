/** How a process ended, with the last line that it wrote to its standard error, as a message of ours without its `error: `. */
export function processEnd(
  program: string,
  code: number | null,
  killedBy: NodeJS.Signals | null,
  errors: string,
): string {
  const how = killedBy === null ? `with exit code ${code}` : `by ${killedBy}`;
  const last = errors.trimEnd().split('\n').at(-1)!.trim();
  const reason = last.replace(/^error: /, '');
  return `${program} ended ${how}${reason === '' ? '' : `: ${reason}`}`;
}
