/** Images of an LMDB word data set (`num-samples`, `image-%09d`, `label-%09d`), for Node. */

/** The part of the npm package `node-lmdb` that reading takes. */
interface LmdbModule {
  readonly Env: new () => LmdbEnvironment;
}

interface LmdbEnvironment {
  open(options: { path: string; readOnly: boolean; noLock: boolean; mapSize: number }): void;
  openDbi(options: { name: null; keyIsBuffer: boolean }): unknown;
  beginTxn(options: { readOnly: boolean }): LmdbTransaction;
  close(): void;
}

interface LmdbTransaction {
  getBinary(database: unknown, key: Buffer): Buffer | null;
  abort(): void;
}

/** Larger than any of these data sets; LMDB maps files into its address space. */
const mapBytes = 16 * 2 ** 30;

/** `node-lmdb` is compiled on installation, so only who reads LMDB files installs it. */
async function loadLmdb(): Promise<LmdbModule> {
  const packageName = 'node-lmdb';
  try {
    const loaded = (await import(packageName)) as { default: LmdbModule };
    return loaded.default;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `LMDB data sets are read with the npm package node-lmdb, which cannot be loaded: ${reason}. ` +
        'Install it with `npm install --no-save node-lmdb` (it needs Python and a C++ compiler).',
      { cause: error },
    );
  }
}

/**
 * Image files of a data set's records, in order; records are numbered from 1.
 * @param folder that holds `data.mdb`
 * @throws Error if the package, the count or an image is missing
 */
export async function readLmdbImages(folder: string): Promise<Uint8Array[]> {
  const { Env } = await loadLmdb();
  const environment = new Env();
  environment.open({ path: folder, readOnly: true, noLock: true, mapSize: mapBytes });
  try {
    const database = environment.openDbi({ name: null, keyIsBuffer: true });
    const transaction = environment.beginTxn({ readOnly: true });
    try {
      const value = (key: string): Buffer => {
        const found = transaction.getBinary(database, Buffer.from(key));
        if (!found) throw new Error(`${folder}: the data set has no ${key}.`);
        return found;
      };
      const count = Number(value('num-samples').toString());
      return Array.from({ length: count }, (_, index) =>
        Uint8Array.from(value(`image-${String(index + 1).padStart(9, '0')}`)),
      );
    } finally {
      transaction.abort();
    }
  } finally {
    environment.close();
  }
}
