/** Many short texts in few bytes: data sets have millions of labels. */
export class PackedStrings {
  private bytes = Buffer.alloc(1024);
  private ends = new Uint32Array(256);
  private count = 0;

  get length(): number {
    return this.count;
  }

  /** @throws Error beyond 4 GB in all */
  push(text: string): void {
    const start = this.startOf(this.count);
    const end = start + Buffer.byteLength(text);
    if (end >= 2 ** 32) throw new Error(`The labels of a data set have more than ${2 ** 32} bytes.`);
    if (end > this.bytes.length) this.bytes = enlarged(this.bytes, Math.min(2 * end, 2 ** 32 - 1));
    if (this.count === this.ends.length) {
      const ends = new Uint32Array(2 * this.count);
      ends.set(this.ends);
      this.ends = ends;
    }
    this.bytes.write(text, start);
    this.ends[this.count] = end;
    this.count += 1;
  }

  /** @throws RangeError for an index that is not there */
  at(index: number): string {
    if (!Number.isInteger(index) || index < 0 || index >= this.count) {
      throw new RangeError(
        `sample ${index} of ${this.count}: the index must be a whole number below ${this.count}.`,
      );
    }
    return this.bytes.toString('utf8', this.startOf(index), this.ends[index]);
  }

  private startOf(index: number): number {
    return index === 0 ? 0 : this.ends[index - 1]!;
  }
}

function enlarged(bytes: Buffer, length: number): Buffer<ArrayBuffer> {
  const larger = Buffer.alloc(length);
  larger.set(bytes);
  return larger;
}
