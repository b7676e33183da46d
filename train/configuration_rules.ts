/** What options of a configuration must agree on among themselves. */
import { clipHeadWidth } from '../model/presets.js';
import type { TrainingConfiguration } from './configuration_schema.js';

/** An option, and what it should have been. */
export interface BrokenRule {
  readonly option: string;
  readonly expected: string;
}

/** The first rule that a configuration of valid options breaks. */
export function brokenRule(configuration: TrainingConfiguration): BrokenRule | undefined {
  return rules(configuration).find(({ holds }) => !holds);
}

function rules({ model, trainer }: TrainingConfiguration): (BrokenRule & { holds: boolean })[] {
  const multiple = (option: string, value: number, of: number, why: string) => ({
    option,
    expected: `a multiple of ${of}, ${why}`,
    holds: value % of === 0,
  });
  const evenPermutations = (option: string, count: number) => ({
    option,
    expected: 'an even number, since model.perm_mirrored is true',
    holds: !model.perm_mirrored || count % 2 === 0,
  });
  const common = [
    {
      option: 'model.img_size',
      expected: `multiples of model.patch_size [${model.patch_size.join(', ')}]`,
      holds: model.img_size.every((side, i) => side % model.patch_size[i]! === 0),
    },
    multiple('model.embed_dim', model.embed_dim, model.dec_num_heads, 'model.dec_num_heads'),
    evenPermutations('model.perm_num', model.perm_num),
    {
      option: 'trainer.max_steps',
      expected: 'a number of steps, since trainer.max_epochs sets no end either',
      holds: trainer.max_epochs >= 0 || trainer.max_steps >= 0,
    },
  ];
  switch (model.name) {
    case 'vl4str':
      return [
        ...common,
        multiple('model.enc_width', model.enc_width, clipHeadWidth, 'the width of a head in CLIP'),
        multiple('model.text_width', model.text_width, clipHeadWidth, 'the width of a head in CLIP'),
        {
          option: 'model.enc_width',
          expected: `a multiple of ${model.dec_num_heads}, model.dec_num_heads, since model.use_share_dim is false`,
          holds: model.use_share_dim || model.enc_width % model.dec_num_heads === 0,
        },
        evenPermutations('model.visual_first_perm_num', model.visual_first_perm_num),
      ];
    case 'parseq':
      return [
        ...common,
        multiple('model.embed_dim', model.embed_dim, model.enc_num_heads, 'model.enc_num_heads'),
      ];
    case 'str_adapter':
      return common;
  }
}
