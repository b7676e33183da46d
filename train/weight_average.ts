/** Stochastic weight averaging (Izmailov et al., 2018): the mean of the weights at the ends of the last epochs, or at steps between. */
import { type Tensor, copyInto, moveTowards } from '../engine/index.js';

export class WeightAverage {
  private readonly means = new Map<string, Tensor>();

  /**
   * @param weights by name; f32, dense
   * @param count of weights that went into the mean so far
   */
  constructor(
    private readonly weights: ReadonlyMap<string, Tensor>,
    public count = 0,
  ) {}

  /** The mean by name, to be saved, or to be written into when a run goes on. */
  get state(): ReadonlyMap<string, Tensor> {
    for (const [name, weight] of this.weights) {
      if (this.means.has(name)) continue;
      const { device } = weight;
      const mean = device.keep(device.empty('f32', weight.shape));
      device.scope(() => copyInto(weight.detach(), mean));
      this.means.set(name, mean);
    }
    return this.means;
  }

  /** Device memory that the mean will take beyond what it holds already. */
  get pendingBytes(): number {
    let bytes = 0;
    for (const [name, { shape }] of this.weights) {
      if (!this.means.has(name)) bytes += 4 * shape.reduce((count, size) => count * size, 1);
    }
    return bytes;
  }

  /** Takes the weights as they are now into the mean. */
  update(): void {
    this.count++;
    const pairs = [...this.state].map(([name, average]) => ({ average, value: this.weights.get(name)! }));
    moveTowards(pairs, 1 / this.count);
  }

  /** Dispatches what the first {@link update} does, for work that is only rehearsed: what that makes is never filled. */
  rehearse(): void {
    const average = new WeightAverage(this.weights);
    try {
      average.update();
    } finally {
      average.dispose();
    }
  }

  dispose(): void {
    for (const mean of this.means.values()) mean.dispose();
    this.means.clear();
  }
}
