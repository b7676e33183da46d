/** Which of a CLIP4STR model's parameters keep their values; by original name. */

/** The original's `text_freeze_nlayer` and `image_freeze_nlayer`: -1 for none, up to 12. */
export interface FreezingRules {
  readonly textLayers: number;
  readonly imageLayers: number;
}

/** From this number on a whole tower is frozen, whatever its number of layers. */
const wholeTower = 12;

interface Tower {
  /** What its blocks' names start with. */
  readonly blocks: string;
  /** What trains beside the blocks unless the whole tower is frozen. */
  readonly trained: RegExp;
}

const clip = 'clip_model.';
const imageTower: Tower = {
  blocks: `${clip}visual.transformer.resblocks.`,
  trained: /\.(?:conv1|ln_pre|ln_post|proj)\b/,
};
const textTower: Tower = {
  blocks: `${clip}transformer.resblocks.`,
  trained: /\.(?:ln_final|text_projection)\b/,
};

/** Whether a parameter is frozen. Decoders never are; CLIP's `logit_scale` goes with the text. */
export function isFrozen(name: string, rules: FreezingRules): boolean {
  if (!name.startsWith(clip)) return false;
  return name.startsWith(`${clip}visual.`)
    ? isFrozenIn(imageTower, name, rules.imageLayers)
    : isFrozenIn(textTower, name, rules.textLayers);
}

function isFrozenIn(tower: Tower, name: string, layers: number): boolean {
  if (layers < 0) return false;
  if (layers >= wholeTower) return true;
  if (!name.startsWith(tower.blocks)) return !tower.trained.test(name);
  return Number.parseInt(name.slice(tower.blocks.length), 10) < layers;
}
