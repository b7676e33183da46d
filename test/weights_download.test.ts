/** Downloads against a local server that cuts connections, ignores ranges, stalls and lies. */
import { describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import {
  CATALOGUE,
  defaultCacheFolder,
  download,
  downloadPublished,
  findPublished,
  type DownloadProgress,
} from '../weights/index.js';
import { messageOf, withFolder } from './support/weights_files.js';

const FILE = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * i + (i >> 8)) & 255));
const DIGEST = createHash('sha256').update(FILE).digest('hex');
const NAME = 'model-0123.ckpt';

/** What the server does with the n-th request (from 0); `from` is where the range asked for begins. */
type Behaviour = (response: ServerResponse, request: number, from: number) => void;

async function withServer<T>(
  behaviour: Behaviour,
  use: (url: string, ranges: (string | undefined)[]) => Promise<T>,
): Promise<T> {
  const ranges: (string | undefined)[] = [];
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const range = request.headers.range;
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
    behaviour(response, ranges.push(range) - 1, from);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/${NAME}`, ranges);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Answers as a server that knows ranges does, and cuts the connection after `limit` bytes. */
function serve(response: ServerResponse, from: number, limit = Infinity): void {
  if (from >= FILE.length) {
    response.writeHead(416, { 'content-range': `bytes */${FILE.length}` }).end();
    return;
  }
  const body = FILE.subarray(from);
  response.writeHead(from > 0 ? 206 : 200, {
    'content-length': body.length,
    ...(from > 0 ? { 'content-range': `bytes ${from}-${FILE.length - 1}/${FILE.length}` } : {}),
  });
  if (limit >= body.length) response.end(body);
  else response.write(body.subarray(0, limit), () => setTimeout(() => response.destroy(), 20));
}

function fetchInto(
  folder: string,
  url: string,
  onProgress?: (progress: DownloadProgress) => void,
  sha256 = DIGEST,
) {
  const published = { name: 'model', description: '', url, fileName: NAME, sha256 };
  const options = {
    cacheFolder: folder,
    retryDelayMs: 1,
    stallTimeoutMs: 300,
    ...(onProgress ? { onProgress } : {}),
  };
  return downloadPublished(published, options);
}

function expectWhole(folder: string): void {
  expect(Buffer.compare(readFileSync(join(folder, NAME)), FILE)).toBe(0);
}

describe('download', () => {
  test('a whole file, with progress; the second time from the cache', async () => {
    await withFolder((folder) =>
      withServer(
        (response, _request, from) => serve(response, from),
        async (url, ranges) => {
          const seen: DownloadProgress[] = [];
          const cache = join(folder, 'new', 'cache');
          expect(await fetchInto(cache, url, (progress) => seen.push(progress))).toBe(join(cache, NAME));
          expectWhole(cache);
          expect(seen.at(-1)).toEqual({ receivedBytes: FILE.length, totalBytes: FILE.length });
          await fetchInto(cache, url);
          expect(ranges).toEqual([undefined]);
          expect(await readdir(cache)).toEqual([NAME]);
        },
      ),
    );
  });

  test('connections that are cut are resumed where they stopped', async () => {
    await withFolder((folder) =>
      withServer(
        (response, _request, from) => serve(response, from, 70_000),
        async (url, ranges) => {
          await fetchInto(folder, url);
          expectWhole(folder);
          const starts = ranges.map((range) => Number(range?.slice('bytes='.length, -1) ?? 0));
          expect(starts[0]).toBe(0);
          expect(starts.length).toBeGreaterThanOrEqual(5);
          expect([...starts].sort((a, b) => a - b)).toEqual(starts);
        },
      ),
    );
  });

  test('a part of an earlier run is resumed, also when it is complete', async () => {
    for (const have of [123_456, FILE.length]) {
      await withFolder((folder) =>
        withServer(
          (response, _request, from) => serve(response, from),
          async (url, ranges) => {
            await writeFile(join(folder, `${NAME}.part`), FILE.subarray(0, have));
            await fetchInto(folder, url);
            expectWhole(folder);
            expect(ranges).toEqual([`bytes=${have}-`]);
          },
        ),
      );
    }
  });

  test('a part longer than the file is thrown away', async () => {
    await withFolder((folder) =>
      withServer(
        (response, _request, from) => serve(response, from),
        async (url) => {
          await writeFile(join(folder, `${NAME}.part`), Buffer.alloc(FILE.length + 1));
          await fetchInto(folder, url);
          expectWhole(folder);
        },
      ),
    );
  });

  test('a server that ignores ranges sends the whole file again', async () => {
    await withFolder((folder) =>
      withServer(
        (response, request) => serve(response, 0, request === 0 ? 100_000 : Infinity),
        async (url, ranges) => {
          await fetchInto(folder, url);
          expectWhole(folder);
          expect(ranges.length).toBe(2);
        },
      ),
    );
  });

  test('a server that sends another range than asked for is not believed', async () => {
    await withFolder((folder) =>
      withServer(
        (response, request, from) => {
          if (request === 0) serve(response, 0, 100_000);
          else if (request === 1) serve(response, from + 1000);
          else serve(response, from);
        },
        async (url) => {
          await fetchInto(folder, url);
          expectWhole(folder);
        },
      ),
    );
  });

  test('connections that stall count as cut; busy servers are asked again', async () => {
    await withFolder((folder) =>
      withServer(
        (response, request, from) => {
          if (request === 0)
            response.writeHead(200, { 'content-length': FILE.length }).write(FILE.subarray(0, 5000));
          else if (request === 1) response.writeHead(503).end();
          else serve(response, from);
        },
        async (url, ranges) => {
          await fetchInto(folder, url);
          expectWhole(folder);
          expect(ranges).toEqual([undefined, 'bytes=5000-', 'bytes=5000-']);
        },
      ),
    );
  });

  test('an answer without a length that ends early is resumed', async () => {
    await withFolder((folder) =>
      withServer(
        (response, request, from) => {
          // A body of no stated length ends where the connection does.
          if (request === 0) {
            response.socket!.end(
              Buffer.concat([
                Buffer.from('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n'),
                FILE.subarray(0, 5000),
              ]),
            );
          } else serve(response, from);
        },
        async (url, ranges) => {
          await fetchInto(folder, url);
          expectWhole(folder);
          expect(ranges).toEqual([undefined, 'bytes=5000-']);
        },
      ),
    );
  });

  test('without a length the digest alone decides', async () => {
    await withFolder((folder) =>
      withServer(
        (response) => response.writeHead(200).end(FILE),
        async (url) => {
          await fetchInto(folder, url, undefined, DIGEST.slice(0, 10));
          expectWhole(folder);
        },
      ),
    );
  });
});

describe('two downloads of one file', () => {
  test('at a time: one downloads, the other waits for it, and both have the file', async () => {
    await withFolder((folder) =>
      withServer(
        (response, _request, from) => void setTimeout(() => serve(response, from), 100),
        async (url, ranges) => {
          const paths = await Promise.all([1, 2, 3].map(() => fetchInto(folder, url)));
          expect(paths).toEqual([1, 2, 3].map(() => join(folder, NAME)));
          expectWhole(folder);
          expect(ranges).toEqual([undefined]);
          expect(await readdir(folder)).toEqual([NAME]);
        },
      ),
    );
  });

  test('where the first fails, the second goes on from what it kept', async () => {
    await withFolder((folder) =>
      withServer(
        (response, request, from) => {
          if (request === 0) serve(response, 0, 100_000);
          else if (request <= 4) response.destroy();
          else serve(response, from);
        },
        async (url, ranges) => {
          const outcomes = await Promise.allSettled([fetchInto(folder, url), fetchInto(folder, url)]);
          expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
          expectWhole(folder);
          expect(ranges.at(-1)).toBe('bytes=100000-');
        },
      ),
    );
  });

  test('a lock that nobody touches any more does not bind', async () => {
    await withFolder((folder) =>
      withServer(
        (response, _request, from) => serve(response, from),
        async (url, ranges) => {
          await writeFile(join(folder, `${NAME}.part`), FILE.subarray(0, 1000));
          await writeFile(join(folder, `${NAME}.part.lock`), 'of a process that was killed');
          await fetchInto(folder, url);
          expectWhole(folder);
          expect(ranges).toEqual(['bytes=1000-']);
          expect(await readdir(folder)).toEqual([NAME]);
        },
      ),
    );
  });
});

describe('failures leave no file and say what to do', () => {
  test('another file than was published', async () => {
    await withFolder((folder) =>
      withServer(
        (response) => response.end('not the model'),
        async (url) => {
          expect(await messageOf(() => fetchInto(folder, url))).toMatch(
            new RegExp(
              `^${NAME}: has SHA-256 [0-9a-f]{64}, but the published file's begins with ${DIGEST}; it was deleted`,
            ),
          );
          expect(await readdir(folder)).toEqual([]);
        },
      ),
    );
  });

  test('a file that is not there is asked for once', async () => {
    await withFolder((folder) =>
      withServer(
        (response) => response.writeHead(404).end(),
        async (url, ranges) => {
          expect(await messageOf(() => fetchInto(folder, url))).toBe(
            `${NAME}: cannot be downloaded from ${url}: HTTP status 404 Not Found. ` +
              'Trying again will not help: get the file from its authors and give its path instead of the name.',
          );
          expect(ranges.length).toBe(1);
        },
      ),
    );
  });

  test('a server that brings nothing more: the part is kept', async () => {
    await withFolder((folder) =>
      withServer(
        (response, request) => (request === 0 ? serve(response, 0, 100_000) : response.destroy()),
        async (url, ranges) => {
          expect(await messageOf(() => fetchInto(folder, url))).toContain(
            '100000 bytes are kept; the next attempt goes on from there.',
          );
          expect(ranges.length).toBe(5);
          expect((await stat(join(folder, `${NAME}.part`))).size).toBe(100_000);
        },
      ),
    );
  });

  test('no server, no host, no folder', async () => {
    await withFolder(async (folder) => {
      const url = await withServer(
        () => undefined,
        async (address) => address,
      );
      expect(await messageOf(() => fetchInto(folder, url))).toMatch(
        new RegExp(`^${NAME}: cannot be downloaded from ${url}: .*ECONNREFUSED.*Check the connection\\.$`),
      );
      const offline = () => {
        const cause = Object.assign(new Error('getaddrinfo ENOTFOUND github.com'), { code: 'ENOTFOUND' });
        return Promise.reject(new TypeError('fetch failed', { cause }));
      };
      const options = { cacheFolder: folder, retryDelayMs: 1, fetch: offline as typeof fetch };
      expect(await messageOf(() => download('parseq', options))).toContain('this machine may be offline');
      await writeFile(join(folder, 'file'), '');
      expect(await messageOf(() => fetchInto(join(folder, 'file'), url))).toMatch(new RegExp(`^${NAME}: `));
      await mkdir(join(folder, `${NAME}.part`));
      expect(await messageOf(() => fetchInto(folder, url))).toMatch(new RegExp(`^${NAME}: `));
    });
  });
});

describe('catalogue', () => {
  test('names and files are unique, digests are in the published names', () => {
    for (const key of ['name', 'fileName', 'url'] as const) {
      expect(new Set(CATALOGUE.map((entry) => entry[key])).size).toBe(CATALOGUE.length);
    }
    for (const { url, fileName, sha256 } of CATALOGUE) {
      expect(url).toMatch(/^https:\/\//);
      expect(url.endsWith(`/${fileName}`)).toBe(true);
      expect(sha256).toMatch(/^[0-9a-f]{8,64}$/);
      expect(url).toContain(sha256.slice(0, 8));
    }
  });

  test('an unknown name lists the known ones', () => {
    expect(() => findPublished('clip5str')).toThrow(
      /^"clip5str" is no published checkpoint; known are clip4str-base, /,
    );
  });

  test('the cache folder follows the environment', () => {
    expect(defaultCacheFolder({ CLIP4STR_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a');
    expect(defaultCacheFolder({ XDG_CACHE_HOME: '/b' })).toBe(join('/b', 'clip4str-engine'));
    expect(defaultCacheFolder({})).toMatch(/[\\/]\.cache[\\/]clip4str-engine$/);
  });
});
