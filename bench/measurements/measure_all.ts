/** Runs the commands whose reports are stored. */
import { spawn } from 'node:child_process';
import { mkdtemp, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeWholeFile } from '../../weights/index.js';
import { processEnd } from '../report/process_end.js';
import { type Measurement, commandText } from './commands.js';

const main = fileURLToPath(new URL('../../cli/main.js', import.meta.url));

/**
 * Measures one after another and stores each when all of its commands have ended. What fails leaves its file as it was.
 * @param folder where the files go; it is made
 * @param report what a command prints as JSON
 * @param tell told how long each took, or why it failed
 * @returns whether all went well
 */
export async function measureAll(
  measurements: readonly Measurement[],
  folder: string,
  report: (command: readonly string[]) => Promise<unknown>,
  tell: (line: string) => void,
): Promise<boolean> {
  await mkdir(folder, { recursive: true });
  let allDone = true;
  for (const { file, commands } of measurements) {
    const start = performance.now();
    try {
      const reports: unknown[] = [];
      for (const command of commands) reports.push(await report(command));
      const stored = `${JSON.stringify(reports.length === 1 ? reports[0] : reports, null, 2)}\n`;
      await writeWholeFile(join(folder, file), (handle) => handle.writeFile(stored));
      tell(`${file}: ${((performance.now() - start) / 1000).toFixed(0)} s`);
    } catch (error) {
      allDone = false;
      tell(`${file}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return allDone;
}

/**
 * What `bench` prints with `--json`, in a process of its own. With `--model` its driver has compiled nothing yet, as on a new
 * machine: the first start is told beside later ones.
 * @throws Error with the last line of its standard error where it fails
 */
export async function benchReport(command: readonly string[]): Promise<unknown> {
  const cache = await mkdtemp(join(tmpdir(), 'driver-cache-'));
  try {
    const child = spawn(process.execPath, [main, 'bench', ...command, '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // Of Mesa and of NVIDIA.
      env: {
        ...process.env,
        ...(command.includes('--model')
          ? { MESA_SHADER_CACHE_DIR: cache, __GL_SHADER_DISK_CACHE_PATH: cache }
          : {}),
      },
    });
    let [output, errors] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.on('error', reject).on('close', (...end) => resolve(end));
    });
    if (code !== 0) throw new Error(processEnd(commandText(command), code, signal, errors));
    return JSON.parse(output);
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
}
