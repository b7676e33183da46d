/** A page that shows images of a data set above their labels. */
import { escapeHtml, thumbnail } from '../html.js';
import { problemOf } from './errors.js';
import { evenlySpread } from './inspect_data_set.js';
import type { WordDataSet } from './word_data_set.js';

/** Images on a page, evenly spread over the data set: enough to see what it is like, in one or two megabytes. */
export const SHEET_IMAGES = 240;

const style = `
  body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; background: #f4f4f6; color: #1c1c22; }
  main { display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); gap: 12px; }
  figure { margin: 0; padding: 10px; background: #fff; border-radius: 6px; display: flex; flex-direction: column; }
  figure div { flex: 1; min-height: 56px; display: flex; align-items: center; justify-content: center; }
  img { max-width: 100%; }
  b { display: block; font: 600 16px ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
  small { color: #6b6b76; overflow-wrap: anywhere; }
  .fault { color: #a3212b; }
`;

/**
 * A page of HTML that needs nothing beside it: images are in it, and it runs no scripts. Images that cannot be read are
 * named with the reason.
 */
export async function contactSheet(set: WordDataSet, signal?: AbortSignal): Promise<string> {
  const figures: string[] = [];
  for (const index of evenlySpread(set.length, SHEET_IMAGES)) {
    signal?.throwIfAborted();
    figures.push(await figure(set, index));
  }
  const title = escapeHtml(set.name);
  return (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n' +
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">\n` +
    `<meta name="viewport" content="width=device-width">\n<title>${title}</title>\n<style>${style}</style>\n</head>\n` +
    `<body>\n<h1>${title}</h1>\n<p>${figures.length} of ${set.length} images</p>\n<main>\n${figures.join('\n')}\n</main>\n</body>\n</html>\n`
  );
}

async function figure(set: WordDataSet, index: number): Promise<string> {
  const picture = await set
    .sample(index)
    .then(({ image }) => thumbnail(image))
    .catch((error: unknown) => `<span class="fault">${escapeHtml(problemOf(error))}</span>`);
  return (
    `<figure><div>${picture}</div><b dir="auto">${escapeHtml(set.label(index))}</b>` +
    `<small>${escapeHtml(set.source(index))}</small></figure>`
  );
}
