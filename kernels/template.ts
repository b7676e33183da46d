/**
 * The preprocessor of our WGSL files. Lines that start with `#` are directives, the rest is WGSL:
 *
 *   #include "file.wgsl"      the file's text, expanded with the same names; nothing if it was included before
 *   #if EXPRESSION            also #elif EXPRESSION, #else, #end
 *   #for NAME in A..B         the block once for NAME = A … B-1, up to #end
 *   $NAME, ${EXPRESSION}      replaced by the value
 *
 * Expressions are integers, names, true and false, with the operators of C; a name of text compares with == and
 * != against another name of text or 'quoted' text. An unknown name is an error, so a misspelt define cannot
 * silently choose a branch.
 */
import type { Defines } from './kernel.js';

type Value = string | number | boolean;
type Names = ReadonlyMap<string, Value>;

const tokenPattern = /\s*(?:(\d+)|([A-Za-z_]\w*)|'([^']*)'|(==|!=|<=|>=|&&|\|\||[-+*/%<>!()]))/y;

const binaryOperators: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['==', '!='],
  ['<', '>', '<=', '>='],
  ['+', '-'],
  ['*', '/', '%'],
];

function tokenize(text: string): string[] {
  const tokens: string[] = [];
  tokenPattern.lastIndex = 0;
  while (tokenPattern.lastIndex < text.trimEnd().length) {
    const start = tokenPattern.lastIndex;
    const match = tokenPattern.exec(text);
    if (!match) throw new Error(`cannot read "${text.slice(start)}" in expression "${text}"`);
    tokens.push(match[0].trim());
  }
  return tokens;
}

function combine(operator: string, left: Value, right: Value): Value {
  if (operator === '==') return left === right;
  if (operator === '!=') return left !== right;
  if (operator === '&&') return Boolean(left) && Boolean(right);
  if (operator === '||') return Boolean(left) || Boolean(right);
  const [a, b] = [Number(left), Number(right)];
  if (Number.isNaN(a) || Number.isNaN(b)) throw new Error(`cannot compute ${left} ${operator} ${right}`);
  if (b === 0 && (operator === '/' || operator === '%'))
    throw new Error(`${left} ${operator} 0 has no value`);
  switch (operator) {
    case '<':
      return a < b;
    case '>':
      return a > b;
    case '<=':
      return a <= b;
    case '>=':
      return a >= b;
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      return Math.trunc(a / b);
    default:
      return a % b;
  }
}

/** The value of an expression over the given names. Throws an Error that quotes it when it cannot be read. */
export function evaluate(text: string, names: Names): Value {
  const tokens = tokenize(text);
  let position = 0;

  const primary = (): Value => {
    const token = tokens[position++];
    if (token === undefined) throw new Error(`expression "${text}" ends too early`);
    if (token === '!') return !primary();
    if (token === '-') return -Number(primary());
    if (token === '(') {
      const value = level(0);
      if (tokens[position++] !== ')') throw new Error(`expression "${text}" lacks a ")"`);
      return value;
    }
    if (token.startsWith("'")) return token.slice(1, -1);
    if (/^\d/.test(token)) return Number(token);
    if (token === 'true' || token === 'false') return token === 'true';
    const value = names.get(token);
    if (value === undefined) throw new Error(`unknown name "${token}" in expression "${text}"`);
    return value;
  };

  const level = (depth: number): Value => {
    const operators = binaryOperators[depth];
    if (!operators) return primary();
    let left = level(depth + 1);
    while (operators.includes(tokens[position] ?? '')) {
      const operator = tokens[position++]!;
      left = combine(operator, left, level(depth + 1));
    }
    return left;
  };

  const value = level(0);
  if (position !== tokens.length) throw new Error(`expression "${text}" has text after its end`);
  return value;
}

function substitute(line: string, names: Names): string {
  return line.replace(/\$(?:\{([^}]*)\}|([A-Za-z_]\w*))/g, (_, expression?: string, name?: string) =>
    String(evaluate(expression ?? name!, names)),
  );
}

interface Block {
  readonly body: string[];
  readonly next: number;
}

/** The lines up to the directive that closes the block opened before `start`. */
function blockFrom(lines: readonly string[], start: number, closing: readonly string[], file: string): Block {
  let depth = 0;
  for (let index = start; index < lines.length; index++) {
    const directive = /^\s*#(\w+)/.exec(lines[index]!)?.[1];
    if (depth === 0 && directive && closing.includes(directive))
      return { body: lines.slice(start, index), next: index };
    if (directive === 'if' || directive === 'for') depth++;
    if (directive === 'end') depth--;
  }
  throw new Error(`${file}: "${lines[start - 1]!.trim()}" is never closed by #end`);
}

/**
 * Expands a WGSL file.
 * @param file name of the file, as `readFile` knows it
 * @param defines values of the names in it
 * @param readFile gives the text of a file of the kernel folder
 * @throws Error that names the file and line for a bad directive, expression or unknown name
 */
export function expandTemplate(file: string, defines: Defines, readFile: (file: string) => string): string {
  const output: string[] = [];
  const includedFiles = new Set<string>();

  const expandLines = (lines: readonly string[], names: Names, from: string): void => {
    let index = 0;
    while (index < lines.length) {
      const line = lines[index++]!;
      const directive = /^\s*#(\w+)\s*(.*?)\s*$/.exec(line);
      try {
        if (!directive) output.push(substitute(line, names));
        else index = expandDirective(directive[1]!, directive[2]!, lines, index, names, from);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        throw message.startsWith(from) ? error : new Error(`${from}: ${message} (at "${line.trim()}")`);
      }
    }
  };

  const expandDirective = (
    directive: string,
    argument: string,
    lines: readonly string[],
    index: number,
    names: Names,
    from: string,
  ): number => {
    if (directive === 'include') {
      const included = argument.replace(/^"(.*)"$/, '$1');
      if (includedFiles.has(included)) return index;
      includedFiles.add(included);
      expandLines(readFile(included).split('\n'), names, included);
      return index;
    }
    if (directive === 'for') {
      const header = /^([A-Za-z_]\w*)\s+in\s+(.+?)\.\.(.+)$/.exec(argument);
      if (!header) throw new Error(`${from}: #for needs "NAME in A..B"`);
      const block = blockFrom(lines, index, ['end'], from);
      const [first, last] = [Number(evaluate(header[2]!, names)), Number(evaluate(header[3]!, names))];
      for (let value = first; value < last; value++) {
        expandLines(block.body, new Map(names).set(header[1]!, value), from);
      }
      return block.next + 1;
    }
    if (directive === 'if') {
      let taken = false;
      let condition: Value = evaluate(argument, names);
      for (;;) {
        const block = blockFrom(lines, index, ['elif', 'else', 'end'], from);
        if (condition && !taken) {
          expandLines(block.body, names, from);
          taken = true;
        }
        const closing = lines[block.next]!.trim();
        index = block.next + 1;
        if (closing.startsWith('#end')) return index;
        condition = closing.startsWith('#else')
          ? true
          : !taken && evaluate(closing.slice('#elif'.length), names);
      }
    }
    throw new Error(`${from}: unknown directive #${directive}`);
  };

  expandLines(readFile(file).split('\n'), new Map(Object.entries(defines)), file);
  return output.join('\n');
}
