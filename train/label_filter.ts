/** Which labels of a data set are kept, and how they are changed: the original's rules in the original's order. */
import { CharsetAdapter } from '../model/index.js';

export interface LabelRules {
  /** Charset that labels are brought into: name or characters. */
  readonly charset: string;
  /** Characters at most, counted before the charset drops any. */
  readonly maxLabelLength: number;
  readonly removeWhitespace: boolean;
  /** Whether compatible and accented characters become the ASCII in them (NFKD), and all others go. */
  readonly normalizeUnicode: boolean;
}

/** Why a label is left out: nothing was there but white space, it is too long, or the charset has none of it. */
export type DropReason = 'blank' | 'too long' | 'outside the charset';

export type FilteredLabel =
  { readonly label: string; readonly dropped?: never } | { readonly dropped: DropReason };

/** What Python's `str.split` takes for white space, which is not what JavaScript does. */
// eslint-disable-next-line no-control-regex
const whitespace = /[\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/g;

/** Filters labels and counts what became of them. */
export class LabelFilter {
  readonly counts: Record<DropReason | 'kept', number> = {
    kept: 0,
    blank: 0,
    'too long': 0,
    'outside the charset': 0,
  };
  readonly #adapter: CharsetAdapter;

  constructor(private readonly rules: LabelRules) {
    this.#adapter = new CharsetAdapter(rules.charset);
  }

  apply(label: string): FilteredLabel {
    const result = this.#filter(label);
    this.counts[result.dropped ?? 'kept']++;
    return result;
  }

  #filter(original: string): FilteredLabel {
    const { removeWhitespace, normalizeUnicode, maxLabelLength } = this.rules;
    let label = original;
    if (removeWhitespace) label = label.replaceAll(whitespace, '');
    if (normalizeUnicode) label = label.normalize('NFKD').replaceAll(/\P{ASCII}/gu, '');
    if (Array.from(label).length > maxLabelLength) return { dropped: 'too long' };
    label = this.#adapter.adapt(label);
    if (label !== '') return { label };
    return { dropped: original.replaceAll(whitespace, '') === '' ? 'blank' : 'outside the charset' };
  }
}
