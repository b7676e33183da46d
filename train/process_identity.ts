/** Which process something belongs to, also where process ids repeat, as they do in containers. For Node. */
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { z } from 'zod';

export const processIdentitySchema = z.object({
  pid: z.int().min(1),
  host: z.string(),
  /** Where the id means something: a boot of a machine and a namespace of ids in it; null where the system does not tell. */
  place: z.string().nullable(),
  /** When the process started, in the system's own measure; null where it does not tell. */
  born: z.string().nullable(),
});

export type ProcessIdentity = Readonly<z.infer<typeof processIdentitySchema>>;

export async function ownIdentity(): Promise<ProcessIdentity> {
  const [place, status] = [await ownPlace(), await statusOf('self')];
  return { pid: process.pid, host: hostname(), place, born: status?.born ?? null };
}

/** Whether a process still runs; undefined where that cannot be known from here. */
export async function isRunning({ pid, host, place, born }: ProcessIdentity): Promise<boolean | undefined> {
  const here = await ownPlace();
  if (place !== here || host !== hostname()) return undefined;
  const exists = hasProcess(pid);
  if (!exists) return false;
  if (here === null || born === null) return undefined;
  const status = await statusOf(String(pid));
  // Processes of other users may be hidden.
  if (status === undefined) return undefined;
  return status.born === born && !status.ended;
}

function hasProcess(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Linux tells; a restarted container may be a new namespace with the old number, but then the start differs. */
async function ownPlace(): Promise<string | null> {
  try {
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    return `${boot} ${await readlink('/proc/self/ns/pid')}`;
  } catch {
    return null;
  }
}

async function statusOf(pid: string): Promise<{ born: string; ended: boolean } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The name of the program is in parentheses and may hold any character.
  const fields = text
    ?.slice(text.lastIndexOf(')') + 2)
    .trim()
    .split(' ');
  const [state, born] = [fields?.[0], fields?.[19]];
  return state === undefined || born === undefined ? undefined : { born, ended: /^[ZXx]$/.test(state) };
}
