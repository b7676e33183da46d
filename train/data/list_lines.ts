/** Lines that name an image file and what is written on it, in the forms in which data sets come. */

/** Names of lists that are looked for in folders. */
export const LIST_FILES = ['gt.txt', 'labels.tsv', 'labels.jsonl'] as const;

export type ListFormat = 'txt' | 'tsv' | 'jsonl';

export type ListRow = { readonly file: string; readonly label: string } | { readonly problem: string };

/** The format of a list by the ending of its name; undefined for other files. */
export function listFormatOf(path: string): ListFormat | undefined {
  return /\.(txt|tsv|jsonl)$/i.exec(path)?.[1]?.toLowerCase() as ListFormat | undefined;
}

const tsvHeader = /^(file|filename|file_name|image|path)\t(label|text|word)s?$/i;
const imageThenLabel = /^(.+?\.(?:jpe?g|png|webp|gif|tiff?|avif))(,[ \t]*|[ \t]+)(.*)$/i;
const wordThenLabel = /^([^,\s]+)(,[ \t]*|[ \t]+)(.*)$/;

/**
 * What a line says; undefined where it is a table's heading.
 *
 * - `tsv`: file, tab, label; further columns are of no concern.
 * - `jsonl`: an object with `file` and `label`.
 * - `txt`: file, then tab, comma or space, then the label to the end of the line; after a comma it may stand in quotes,
 *   as in ICDAR's lists (`word_1.png, "Tiredness"`).
 */
export function parseListLine(text: string, format: ListFormat): ListRow | undefined {
  if (format === 'jsonl') return parseJson(text);
  const [file, ...rest] = text.split('\t');
  const label = format === 'txt' && rest.length > 1 ? rest.join('\t') : rest[0];
  if (tsvHeader.test(text)) return undefined;
  if (file !== undefined && label !== undefined) return { file, label };
  if (format === 'tsv') return { problem: 'no label: expected the file, a tab and the label' };
  const match = imageThenLabel.exec(text) ?? wordThenLabel.exec(text);
  if (!match) return { problem: 'no label: expected the file, then a tab, comma or space, then the label' };
  const [, name, separator, after] = match as unknown as [string, string, string, string];
  return { file: name, label: separator.startsWith(',') ? unquoted(after) : after };
}

function parseJson(text: string): ListRow {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { problem: 'the line is not JSON' };
  }
  const { file, label } = (value ?? {}) as { file?: unknown; label?: unknown };
  if (typeof file !== 'string' || typeof label !== 'string') {
    return { problem: 'the line has no texts "file" and "label"' };
  }
  return { file, label };
}

function unquoted(text: string): string {
  const inner = /^"(.*)"$/.exec(text)?.[1];
  return inner === undefined ? text : inner.replace(/\\(["\\])/g, '$1');
}
