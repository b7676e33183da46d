/** Finding data sets in trees of folders. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { DataSetError, dataSetError } from './errors.js';
import { LIST_FILES, listFormatOf } from './list_lines.js';
import { LMDB_FILE } from './lmdb_words.js';

/** A data set that was found but not opened. */
export interface FoundDataSet {
  readonly kind: 'lmdb' | 'list';
  /** Of `data.mdb`, or of the list. */
  readonly path: string;
  /** Folders below the root, joined by `/`; the root's own name for one that lies in the root itself. */
  readonly name: string;
}

/**
 * The data sets of a root: itself, if it is a file; else those in the folder and all folders below it, sorted by name.
 * A folder is one data set: its `data.mdb`, else its one list (`gt.txt`, `labels.tsv`, `labels.jsonl`). Links are
 * followed, each folder is visited once, hidden folders are not.
 * @throws DataSetError when there is none, or a folder has several lists
 */
export async function findDataSets(root: string, signal?: AbortSignal): Promise<FoundDataSet[]> {
  const status = await stat(root).catch((error: unknown) => {
    throw dataSetError(root, missingReason(error));
  });
  if (!status.isDirectory()) return [fileAsDataSet(root)];
  const found: FoundDataSet[] = [];
  const visited = new Set<string>();
  const visit = async (folder: string): Promise<void> => {
    signal?.throwIfAborted();
    const real = await realpath(folder);
    if (visited.has(real)) return;
    visited.add(real);
    const { own, below } = await look(folder);
    if (own) found.push({ ...own, name: nameOf(root, folder) });
    for (const name of below) await visit(join(folder, name));
  };
  await visit(root);
  if (found.length === 0) {
    throw new DataSetError(
      root,
      `no data set here or below: expected ${LMDB_FILE}, ${LIST_FILES.join(', ')}`,
    );
  }
  return found;
}

function fileAsDataSet(path: string): FoundDataSet {
  const isList = listFormatOf(path) !== undefined;
  if (!isList && !path.toLowerCase().endsWith('.mdb')) {
    throw new DataSetError(
      path,
      `is no data set: expected a folder, ${LMDB_FILE}, or a .txt, .tsv or .jsonl list`,
    );
  }
  return { kind: isList ? 'list' : 'lmdb', path, name: basename(dirname(resolve(path))) };
}

/** What a folder holds: its own data set, and folders. */
async function look(folder: string): Promise<{ own?: Omit<FoundDataSet, 'name'>; below: string[] }> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw dataSetError(folder, missingReason(error));
  });
  const below: string[] = [];
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    const isFolder = entry.isSymbolicLink()
      ? await stat(join(folder, entry.name)).then(
          (status) => status.isDirectory(),
          () => false,
        )
      : entry.isDirectory();
    if (isFolder) below.push(entry.name);
  }
  below.sort();
  const names = new Set(entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name));
  if (names.has(LMDB_FILE)) return { own: { kind: 'lmdb', path: join(folder, LMDB_FILE) }, below };
  const lists = LIST_FILES.filter((name) => names.has(name));
  if (lists.length > 1) {
    throw new DataSetError(folder, `has several lists (${lists.join(', ')}); name the one that is meant`);
  }
  return lists[0] === undefined ? { below } : { own: { kind: 'list', path: join(folder, lists[0]) }, below };
}

function nameOf(root: string, folder: string): string {
  const place = relative(root, folder);
  return place === '' ? basename(resolve(root)) : place.split(sep).join('/');
}

function missingReason(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return new Error('no such file or folder');
  return code === 'EACCES' || code === 'EPERM' ? new Error('permission denied') : error;
}
