/** Building LMDB files of the 0.9 format from keys in rising order: every page is written once, front to back. */
import {
  META_MAGIC,
  META_VERSION,
  NODE_HEADER_BYTES,
  NO_PAGE,
  OFFSET_BYTES,
  PAGE_HEADER_BYTES,
  PAGE_NUMBER_BYTES,
  STORED_ELSEWHERE,
  pageKind,
  viewOf,
} from './lmdb_page.js';

export const PAGE_BYTES = 4096;
/** Pages 0 and 1, written last: without them the file is not taken for a finished one. */
export const META_PAGES = 2;
/** Nodes larger than this put their value into pages of its own, so that a page holds at least two. */
const LARGEST_NODE_BYTES = (PAGE_BYTES - PAGE_HEADER_BYTES) / 2 - OFFSET_BYTES;
const LARGEST_KEY_BYTES = 511;
/** Flag of the database of free pages, whose keys are transaction numbers. */
const INTEGER_KEYS = 0x08;
const MAP_SIZE_OFFSET = PAGE_HEADER_BYTES + 16;

/** A finished leaf. */
export interface Leaf {
  readonly firstKey: string;
  readonly page: number;
}

/** How far a file has come when its last leaf was finished; enough to go on from there. */
export interface BuilderState {
  readonly entries: number;
  readonly leaves: readonly Leaf[];
  readonly nextPage: number;
}

interface Node {
  readonly key: string;
  /** Of a branch: the page below. */
  readonly child?: number;
  readonly valueBytes: number;
  readonly flags: number;
  /** What stands in the leaf. */
  readonly payload: Uint8Array;
}

/** Makes the pages of a file; {@link takePages} gives them in the order in which they lie in it, from page 2. */
export class LmdbBuilder {
  private pages: Uint8Array[] = [];
  private nextPage: number;
  private entries: number;
  private readonly leaves: Leaf[];
  private nodes: Node[] = [];
  private freeBytes = PAGE_BYTES - PAGE_HEADER_BYTES;
  private lastKey: string;

  /** @param state of a file to go on with */
  constructor(state: BuilderState = { entries: 0, leaves: [], nextPage: META_PAGES }) {
    this.entries = state.entries;
    this.leaves = [...state.leaves];
    this.nextPage = state.nextPage;
    this.lastKey = this.leaves.at(-1)?.firstKey ?? '';
  }

  /** Finished leaves. */
  get leafCount(): number {
    return this.leaves.length;
  }

  get lastLeaf(): Leaf | undefined {
    return this.leaves.at(-1);
  }

  /**
   * Adds a key after all others.
   * @param key ASCII
   * @throws Error when the key is not greater than the last
   */
  append(key: string, value: Uint8Array): void {
    if (key <= this.lastKey || key.length > LARGEST_KEY_BYTES) {
      throw new Error(`LMDB: the key ${key} does not come after ${this.lastKey}.`);
    }
    this.lastKey = key;
    const inLeaf = NODE_HEADER_BYTES + key.length + value.length <= LARGEST_NODE_BYTES;
    const nodeBytes = even(NODE_HEADER_BYTES + key.length + (inLeaf ? value.length : PAGE_NUMBER_BYTES));
    if (nodeBytes + OFFSET_BYTES > this.freeBytes) this.finishLeaf();
    this.freeBytes -= nodeBytes + OFFSET_BYTES;
    this.nodes.push({
      key,
      valueBytes: value.length,
      flags: inLeaf ? 0 : STORED_ELSEWHERE,
      payload: inLeaf ? value : this.storeElsewhere(value),
    });
    this.entries += 1;
  }

  /** Pages made since the last call; each chunk is a whole number of them. */
  takePages(): Uint8Array[] {
    const pages = this.pages;
    this.pages = [];
    return pages;
  }

  /** Closes the tree. The pages that are still to be taken end the file; what is returned are its first two. */
  finish(): Uint8Array {
    if (this.nodes.length > 0) this.finishLeaf();
    let level: readonly Leaf[] = this.leaves;
    let levels = level.length === 0 ? 0 : 1;
    let branchPages = 0;
    while (level.length > 1) {
      level = branchGroups(level).map((children) => this.addBranch(children));
      branchPages += level.length;
      levels += 1;
    }
    const overflowPages = this.nextPage - META_PAGES - branchPages - this.leaves.length;
    const root = level[0]?.page;
    return this.metaPages({ levels, branchPages, overflowPages, root });
  }

  private finishLeaf(): void {
    const page = this.addPage(pageKind.leaf, this.nodes);
    this.leaves.push({ firstKey: this.nodes[0]!.key, page });
    this.nodes = [];
    this.freeBytes = PAGE_BYTES - PAGE_HEADER_BYTES;
  }

  private addBranch(children: readonly Leaf[]): Leaf {
    const nodes = children.map(({ firstKey, page }, index) => ({
      // The first key of a branch stands for the least of all, and is left out.
      key: index === 0 ? '' : firstKey,
      child: page,
      valueBytes: 0,
      flags: 0,
      payload: new Uint8Array(0),
    }));
    return { firstKey: children[0]!.firstKey, page: this.addPage(pageKind.branch, nodes) };
  }

  private addPage(kind: number, nodes: readonly Node[]): number {
    const page = new Uint8Array(PAGE_BYTES);
    const view = viewOf(page);
    let offset = PAGE_BYTES;
    nodes.forEach(({ key, child, valueBytes, flags, payload }, index) => {
      offset -= even(NODE_HEADER_BYTES + key.length + payload.length);
      view.setUint16(PAGE_HEADER_BYTES + index * OFFSET_BYTES, offset, true);
      view.setUint32(offset, child === undefined ? valueBytes : child % 2 ** 32, true);
      view.setUint16(offset + 4, child === undefined ? flags : Math.floor(child / 2 ** 32), true);
      view.setUint16(offset + 6, key.length, true);
      page.set(Buffer.from(key, 'latin1'), offset + NODE_HEADER_BYTES);
      page.set(payload, offset + NODE_HEADER_BYTES + key.length);
    });
    view.setUint16(10, kind, true);
    view.setUint16(12, PAGE_HEADER_BYTES + nodes.length * OFFSET_BYTES, true);
    view.setUint16(14, offset, true);
    return this.push(page);
  }

  /** Puts a value into pages of its own; returns what stands in the leaf: the number of the first. */
  private storeElsewhere(value: Uint8Array): Uint8Array {
    const count = Math.ceil((PAGE_HEADER_BYTES + value.length) / PAGE_BYTES);
    const pages = new Uint8Array(count * PAGE_BYTES);
    pages.set(value, PAGE_HEADER_BYTES);
    const view = viewOf(pages);
    view.setUint16(10, pageKind.overflow, true);
    view.setUint32(12, count, true);
    const number = new Uint8Array(PAGE_NUMBER_BYTES);
    viewOf(number).setBigUint64(0, BigInt(this.push(pages)), true);
    return number;
  }

  private push(pages: Uint8Array): number {
    const number = this.nextPage;
    viewOf(pages).setBigUint64(0, BigInt(number), true);
    this.nextPage += pages.length / PAGE_BYTES;
    this.pages.push(pages);
    return number;
  }

  /** An empty state, and after it the state with the tree, as if one transaction had written it. */
  private metaPages(tree: {
    levels: number;
    branchPages: number;
    overflowPages: number;
    root: number | undefined;
  }): Uint8Array {
    const pages = new Uint8Array(META_PAGES * PAGE_BYTES);
    for (const transaction of [0, 1]) {
      const view = viewOf(pages.subarray(transaction * PAGE_BYTES));
      view.setBigUint64(0, BigInt(transaction), true);
      view.setUint16(10, pageKind.meta, true);
      view.setUint32(PAGE_HEADER_BYTES, META_MAGIC, true);
      view.setUint32(PAGE_HEADER_BYTES + 4, META_VERSION, true);
      view.setBigUint64(MAP_SIZE_OFFSET, BigInt(this.nextPage * PAGE_BYTES), true);
      const free = MAP_SIZE_OFFSET + 8;
      const main = free + 48;
      view.setUint32(free, PAGE_BYTES, true);
      view.setUint16(free + 4, INTEGER_KEYS, true);
      view.setBigUint64(free + 40, NO_PAGE, true);
      view.setBigUint64(main + 40, NO_PAGE, true);
      const end = main + 48;
      const isLatest = transaction === 1;
      view.setBigUint64(end, BigInt(isLatest ? this.nextPage - 1 : META_PAGES - 1), true);
      view.setBigUint64(end + 8, BigInt(transaction), true);
      if (!isLatest || tree.root === undefined) continue;
      view.setUint16(main + 6, tree.levels, true);
      view.setBigUint64(main + 8, BigInt(tree.branchPages), true);
      view.setBigUint64(main + 16, BigInt(this.leaves.length), true);
      view.setBigUint64(main + 24, BigInt(tree.overflowPages), true);
      view.setBigUint64(main + 32, BigInt(this.entries), true);
      view.setBigUint64(main + 40, BigInt(tree.root), true);
    }
    return pages;
  }
}

/** Divides pages among as few branches as hold them, at least two below each. */
function branchGroups(children: readonly Leaf[]): Leaf[][] {
  const groups: Leaf[][] = [];
  let free = 0;
  for (const child of children) {
    const nodeBytes = even(NODE_HEADER_BYTES + child.firstKey.length) + OFFSET_BYTES;
    if (nodeBytes > free) {
      groups.push([]);
      free = PAGE_BYTES - PAGE_HEADER_BYTES;
    }
    groups.at(-1)!.push(child);
    free -= nodeBytes;
  }
  const last = groups.at(-1)!;
  if (last.length === 1) last.unshift(groups.at(-2)!.pop()!);
  return groups;
}

function even(bytes: number): number {
  return bytes + (bytes & 1);
}
