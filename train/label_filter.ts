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

/** A label as it is trained, or why it is left out. */
export type FilteredLabel = { readonly label: string } | { readonly dropped: string };

/** What Python's `str.split` takes for white space, which is not what JavaScript does. */
// eslint-disable-next-line no-control-regex
const whitespace = /[\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/g;

/**
 * A filter with these rules. It drops labels of nothing but white space, too long ones, and those of which the charset
 * leaves nothing.
 */
export function labelFilter(rules: LabelRules): (label: string) => FilteredLabel {
  const { maxLabelLength, removeWhitespace, normalizeUnicode } = rules;
  const adapter = new CharsetAdapter(rules.charset);
  return (original) => {
    let label = original;
    if (removeWhitespace) label = label.replaceAll(whitespace, '');
    if (normalizeUnicode) label = label.normalize('NFKD').replaceAll(/\P{ASCII}/gu, '');
    if (Array.from(label).length > maxLabelLength) {
      return { dropped: `more than ${maxLabelLength} characters` };
    }
    label = adapter.adapt(label);
    if (label !== '') return { label };
    const isBlank = original.replaceAll(whitespace, '') === '';
    return { dropped: isBlank ? 'nothing but white space' : 'no character of the charset' };
  };
}
