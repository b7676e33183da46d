import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Path of the command line. */
export const main = fileURLToPath(new URL('../../cli/main.js', import.meta.url));

/** Path of one of the sample images, from the compiled tests. */
export function samplePath(name: string): string {
  return fileURLToPath(new URL(`../../../samples/${name}`, import.meta.url));
}

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  /** Lines of the standard error; the driver's own warnings left out. */
  readonly errors: readonly string[];
}

export interface CommandOptions {
  readonly input?: Uint8Array;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Told of the output as it comes. */
  readonly onOutput?: (child: ReturnType<typeof spawn>, stdout: string) => void;
  /** Likewise of the standard error. */
  readonly onError?: (child: ReturnType<typeof spawn>, stderr: string) => void;
}

/** Runs the command line as a user does, and waits for it to end by itself. */
export function runCommand(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const child = spawn(process.execPath, [main, ...args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: 110_000,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    options.onOutput?.(child, stdout);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    options.onError?.(child, stderr);
  });
  child.stdin.end(options.input ?? '');
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      const errors = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('Warning: '));
      resolve({ code, stdout, errors });
    });
  });
}
