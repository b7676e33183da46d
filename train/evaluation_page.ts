/** A page that shows how data sets were read, and what was read wrong. */
import { combinedResult } from './accuracy.js';
import type { SetEvaluation, WrongReading } from './evaluate.js';
import { escapeHtml, thumbnail } from './html.js';

const style = `
  body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; background: #f4f4f6; color: #1c1c22; }
  table { border-collapse: collapse; background: #fff; border-radius: 6px; }
  th, td { padding: 6px 14px; text-align: right; border-bottom: 1px solid #e4e4ea; }
  th:first-child, td:first-child { text-align: left; }
  tr:last-child td { font-weight: 600; border-bottom: 0; }
  main { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 12px; }
  figure { margin: 0; padding: 10px; background: #fff; border-radius: 6px; display: flex; flex-direction: column; }
  figure div { flex: 1; min-height: 56px; display: flex; align-items: center; justify-content: center; }
  img { max-width: 100%; }
  dl { display: grid; grid-template-columns: auto 1fr; gap: 0 8px; margin: 8px 0 0; }
  dt { color: #6b6b76; }
  dd { margin: 0; font: 600 15px ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
  dd.read { color: #a3212b; }
  small { color: #6b6b76; overflow-wrap: anywhere; }
`;

/**
 * @param title names the checkpoint and what it was compared in
 * @returns HTML that needs nothing beside it
 */
export async function evaluationPage(title: string, sets: readonly SetEvaluation[]): Promise<string> {
  const results = sets.map(({ result }) => result);
  const rows = [...results, combinedResult(results)].map(
    ({ name, samples, accuracy, ned, confidence, labelLength }) =>
      `<tr><td>${escapeHtml(name)}</td><td>${samples}</td>` +
      [accuracy, ned, confidence, labelLength].map((value) => `<td>${value.toFixed(2)}</td>`).join('') +
      '</tr>',
  );
  const sections: string[] = [];
  for (const { result, wrong, wrongCount } of sets) {
    const figures: string[] = [];
    for (const { image, ...reading } of wrong) if (image) figures.push(await figure(reading, image));
    if (figures.length === 0) continue;
    const shown = figures.length < wrongCount ? `, the first ${figures.length} shown` : '';
    const heading = `${escapeHtml(result.name)}: ${wrongCount} read wrong${shown}`;
    sections.push(`<h2>${heading}</h2>\n<main>\n${figures.join('\n')}\n</main>`);
  }
  const name = escapeHtml(title);
  return (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n' +
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">\n` +
    `<meta name="viewport" content="width=device-width">\n<title>${name}</title>\n<style>${style}</style>\n</head>\n` +
    `<body>\n<h1>${name}</h1>\n<table>\n<tr><th>Data set</th><th>Samples</th><th>Accuracy %</th><th>1 - NED %</th>` +
    `<th>Confidence %</th><th>Length</th></tr>\n${rows.join('\n')}\n</table>\n${sections.join('\n')}\n</body>\n</html>\n`
  );
}

async function figure({ source, label, text, confidence }: WrongReading, image: Uint8Array): Promise<string> {
  const picture = await thumbnail(image);
  return (
    `<figure><div>${picture}</div><dl><dt>label</dt><dd dir="auto">${escapeHtml(label)}</dd>` +
    `<dt>read</dt><dd class="read" dir="auto">${escapeHtml(text)}</dd></dl>` +
    `<small>${escapeHtml(source)}, confidence ${confidence.toFixed(3)}</small></figure>`
  );
}
