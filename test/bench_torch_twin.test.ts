/**
 * The PyTorch scripts themselves: they compute what the engine computes. `CLIP4STR_TEST_TORCH` names a Python that has
 * PyTorch; without it Jest is not told of this file.
 */
import { describe, expect, test } from '@jest/globals';
import { KernelBench } from '../bench/kernels/run.js';
import type { KernelName } from '../bench/kernels/work.js';
import { compareReading } from '../bench/model/torch_reading.js';
import { compareTraining } from '../bench/model/torch_training.js';
import { TorchTwin } from '../bench/model/torch_twin.js';
import { openTorch } from '../bench/peers/torch.js';
import { Clip4Str, type Clip4StrModel } from '../model/index.js';
import { useDevice } from './support/device.js';
import { tolerance } from './support/numbers.js';
import { oddWork } from './support/odd_work.js';
import { smallSettings } from './support/small_run.js';

const python = process.env['CLIP4STR_TEST_TORCH'];
/** For which it has no operator of its own. */
const ownAlone: readonly KernelName[] = ['end_padding', 'gradient_norm', 'quantize'];
const device = useDevice({ device: 'software' });
const withTwin = async (use: (twin: TorchTwin) => Promise<void>): Promise<void> => {
  const twin = await TorchTwin.open(python!);
  try {
    await use(twin);
  } finally {
    await twin.close();
  }
};

describe('PyTorch', () => {
  test('does every kind of work', async () => {
    const bench = await KernelBench.open(device());
    const peer = await openTorch(python!);
    try {
      for (const work of oddWork.filter(({ kernel }) => !ownAlone.includes(kernel))) {
        for (const dtype of ['f32', 'f16'] as const) {
          if (dtype === 'f16' && !device().traits.f16) continue;
          const used = { work, model: 'tiny', batch: 1, stage: 'training', purpose: 'a test' } as const;
          const { times, unable } = await bench.row({ ...used, occurrences: 1 }, dtype, [peer]);
          expect(unable).toEqual([]);
          const own = times.filter(({ runner }) => runner === peer.name);
          expect([work.kernel, dtype, own.length]).toEqual([work.kernel, dtype, 1]);
          expect(own[0]!.error).toBeLessThanOrEqual(tolerance[dtype]);
        }
      }
    } finally {
      await peer.close();
    }
  }, 600_000);

  test(
    'reads the same texts with the same weights',
    () =>
      withTwin(async (twin) => {
        const reader = await Clip4Str.load(device());
        const model = reader.model as Clip4StrModel;
        await twin.build(model.configuration, model.parameters, { half: false, dropout: 0 });
        const { sameTexts, differingTexts } = await compareReading(device(), model, twin, 16);
        expect(differingTexts).toEqual([]);
        expect(sameTexts).toBe(16);
        reader.dispose();
      }),
    300_000,
  );

  test.each([
    [[]],
    [['model.cross_gt_context=false']],
    [['model.cross_cloze_mask=true', 'model.image_detach=false', 'model.cross_loss_w=0.5']],
    [['model.use_share_dim=false', 'model.enc_width=128']],
    [['model.dec_depth=2']],
    [['model.clip_cls_eot_feature=true']],
  ])(
    'takes the same steps with %p',
    (settings) =>
      withTwin(async (twin) => {
        const small = smallSettings.filter((setting) => !/batch_size|max_steps|accumulate|swa/.test(setting));
        const recipe = [...small, 'model.dropout=0', ...settings];
        const { firstLoss, lastLoss } = await compareTraining(device(), twin, 'tiny', 4, recipe);
        expect(firstLoss.torch).toBeCloseTo(firstLoss.own, 4);
        expect(lastLoss.torch).toBeCloseTo(lastLoss.own, 4);
        expect(lastLoss.own).not.toBeCloseTo(firstLoss.own, 1);
      }),
    300_000,
  );
});
