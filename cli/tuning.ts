/** Where this machine keeps which variants of kernels are the fastest on its devices. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Device, type Tuning, choicesFor, parseTuning } from '../engine/index.js';
import { defaultCacheFolder, writeWholeFile } from '../weights/index.js';
import { printable } from './errors.js';
import { tell } from './output.js';

/** The file for a device: another adapter, or another driver, has one of its own. */
export function tuningFile({ adapter, info }: Pick<Device, 'adapter' | 'info'>): string {
  const name = adapter.name.replace(/[^a-z0-9]+/gi, '-').replace(/^-|-$/g, '');
  const digest = createHash('sha256')
    .update(JSON.stringify([adapter.name, info.description]))
    .digest('hex');
  return join(defaultCacheFolder(), 'tuning', `${name.slice(0, 60)}-${digest.slice(0, 8)}.json`);
}

/** @returns undefined where nothing is stored that can be used; what is damaged is told and passed over */
export async function storedTuning(device: Pick<Device, 'adapter' | 'info'>): Promise<Tuning | undefined> {
  let file: string;
  let text: string;
  try {
    file = tuningFile(device);
    // Anything else could be waited for in vain.
    if (!(await stat(file)).isFile()) return undefined;
    text = await readFile(file, 'utf8');
  } catch {
    return undefined;
  }
  try {
    const tuning = parseTuning(text);
    choicesFor(tuning, device);
    return tuning;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    tell(`${printable(file)} is passed over (${printable(reason)})`);
    return undefined;
  }
}

/** @returns the path of the file */
export async function storeTuning(device: Pick<Device, 'adapter' | 'info'>, tuning: Tuning): Promise<string> {
  const file = tuningFile(device);
  await mkdir(dirname(file), { recursive: true });
  await writeWholeFile(file, (handle) => handle.writeFile(`${JSON.stringify(tuning, null, 2)}\n`));
  return file;
}
