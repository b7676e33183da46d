import { spawn } from 'node:child_process';

export interface ChildResult {
  readonly code: number | null;
  readonly signal: string | null;
  /** The standard output, and the standard error where the process failed: drivers warn on it. */
  readonly output: string;
}

/** Runs module code in a Node process of its own; it is killed, with a signal in the result, past the limit. */
export function runChild(
  code: string,
  flags: readonly string[] = [],
  limitMs = 60_000,
): Promise<ChildResult> {
  const engine = new URL('../../engine/index.js', import.meta.url).href;
  const script = `import * as engine from ${JSON.stringify(engine)};\n${code}`;
  const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: limitMs,
    killSignal: 'SIGKILL',
  });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  return new Promise((resolve) => {
    child.on('close', (code, signal) =>
      resolve({ code, signal, output: code === 0 ? output : output + errors }),
    );
  });
}
