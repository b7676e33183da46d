/** Plain CLIP against the original, from every container; and CLIP4STR from each of its formats. */
import { describe, expect, test } from '@jest/globals';
import type { Tensor } from '../engine/index.js';
import { Branch } from '../model/branch.js';
import { Clip4StrModel } from '../model/clip4str.js';
import { tokenizeCaptions } from '../model/clip_tokenizer.js';
import { Decoder, branchNames } from '../model/decoder.js';
import { encodeClipImage, projectImage } from '../model/image_encoder.js';
import { loadModel } from '../model/load_model.js';
import { readingFromLogits } from '../model/reading_text.js';
import { encodeText, poolText } from '../model/text_encoder.js';
import { openParameters, withClipRounding } from '../weights/index.js';
import { useDevice } from './support/device.js';
import { useErrorReport } from './support/error_report.js';
import { fastClipParameters, loadClip } from './support/fixture_models.js';
import { fixturePath, readJsonFixture, readTensorFixture } from './support/fixtures.js';
import { idsOf, onHost, upload } from './support/recognize.js';

const device = useDevice();
const report = useErrorReport('CLIP');

test('features and similarities of images and texts', () =>
  device().scope(async () => {
    const tensors = readTensorFixture('forward/fast_clip.safetensors');
    const { texts } = readJsonFixture<{ texts: string[] }>('forward/fast_clip.json');
    const clip = await loadClip(device(), fastClipParameters());
    expect([...tokenizeCaptions(texts, 77)]).toEqual(tensors.integers('tokens'));
    // Projections lie as the weights of linear layers do, and have their values.
    for (const [name, linear] of [
      ['visual.proj', 'visual.transformer.resblocks.0.mlp.c_fc.weight'],
      ['text_projection', 'transformer.resblocks.0.mlp.c_fc.weight'],
    ] as const) {
      const [own, other] = [name, linear].map((parameter) => clip.parameters.get(parameter));
      expect(own!.strides).toEqual([1, own!.shape[0]]);
      expect(other!.transpose().strides).toEqual([1, other!.shape[1]]);
      expect([...(await own!.read())]).toEqual([...(await fastClipParameters().readF32(name))]);
    }
    const images = upload(device(), tensors.get('images'));
    const computed = {
      image_features: clip.encodeImages(images),
      text_features: clip.encodeTextEnds(texts),
      text_all_features: clip.encodeTexts(texts.slice(0, 2)),
      logits_per_image: clip.similarity(images, texts),
      logits_per_text: clip.similarity(images, texts).transpose(),
    };
    for (const [name, tensor] of Object.entries(computed)) {
      expect(tensor.shape).toEqual(tensors.get(name).shape);
      report.compare(`fast_clip ${name}`, (await onHost(tensor)).data, tensors.floats(name));
    }
    clip.parameters.dispose();
  }));

// Their vocabulary has 600 entries, so texts come as the ids that the reference was given.
describe.each([
  { container: 'jit', file: 'clip_openai_jit_cuda.pt' },
  { container: 'openclip', file: 'OpenCLIP-tiny.bin' },
  { container: 'wrapped', file: 'clip_wrapped_model_key.pt' },
])('$file', ({ container, file }) => {
  const tensors = readTensorFixture('formats/clip_refs.safetensors');

  test('features of all tokens and similarities', () =>
    device().scope(async () => {
      const source = withClipRounding(await openParameters(fixturePath(`formats/${file}`)));
      const clip = await loadClip(device(), source);
      const { parameters, configuration } = clip;
      const images = upload(device(), tensors.get('images'));
      const ids = tensors.integers('tokens');
      const tokens = device().tensor(Uint32Array.from(ids), tensors.get('tokens').shape);
      const imageTokens = encodeClipImage(images, parameters, 'visual.', configuration.image);
      const texts = encodeText(tokens, parameters, '', configuration.text);
      // The end token is the vocabulary's last.
      const ends = [0, 1, 2].map((row) => ids.slice(77 * row, 77 * (row + 1)).indexOf(Math.max(...ids)));
      const compare = async (name: string, tensor: Tensor): Promise<Float32Array> => {
        const { data } = await onHost(tensor.reshape(tensors.get(`${container}.${name}`).shape));
        report.compare(`${container} ${name}`, data, tensors.floats(`${container}.${name}`));
        return data;
      };
      await compare('image_all', projectImage(imageTokens, parameters, 'visual.'));
      const image = await compare('image_cls', clip.encodeImages(images));
      await compare('text_all', texts);
      const text = await compare('text_eot', poolText(texts, ends));
      const [scale] = (await parameters.get('logit_scale').read()) as Float32Array;
      const similarities = cosines(image, text, configuration.embedWidth).map((row) =>
        row.map((cosine) => Math.exp(scale!) * cosine),
      );
      report.compare(
        `${container} logits_per_image`,
        similarities.flat(),
        tensors.floats(`${container}.logits_per_image`),
      );
      report.compare(
        `${container} logits_per_text`,
        similarities[0]!.flatMap((_, column) => similarities.map((row) => row[column]!)),
        tensors.floats(`${container}.logits_per_text`),
      );
      parameters.dispose();
    }));
});

/** Cosines of every row of `a` with every row of `b`, in double precision. */
function cosines(a: Float32Array, b: Float32Array, width: number): number[][] {
  const rows = (values: Float32Array): number[][] =>
    Array.from({ length: values.length / width }, (_, row) => {
      const own = [...values.subarray(row * width, (row + 1) * width)];
      const length = Math.hypot(...own);
      return own.map((value) => value / length);
    });
  const others = rows(b);
  return rows(a).map((row) =>
    others.map((other) => row.reduce((sum, value, at) => sum + value * other[at]!, 0)),
  );
}

// The Lightning checkpoint alone records how many heads the decoder has.
test.each([
  { file: 'clip4str_tiny.ckpt', options: {} },
  { file: 'clip4str_tiny.pt', options: { decoderHeads: 4 } },
  { file: 'clip4str_tiny.safetensors', options: { decoderHeads: 4 } },
  { file: 'clip4str_tiny_legacy.pt', options: { decoderHeads: 4 } },
])('$file: visual branch and text encoder', ({ file, options }) =>
  device().scope(async () => {
    const tensors = readTensorFixture('formats/clip4str_tiny_refs.safetensors');
    const source = await openParameters(fixturePath(`formats/${file}`));
    const model = await loadModel(device(), source, options);
    await source.close();
    if (!(model instanceof Clip4StrModel)) throw new Error(`${file}: is no CLIP4STR model.`);
    const { parameters, configuration, tokenizer } = model;
    const compare = async (name: string, tensor: Tensor): Promise<void> => {
      expect(tensor.shape).toEqual(tensors.get(name).shape);
      report.compare(
        `${file.replace('clip4str_', '')} ${name}`,
        (await onHost(tensor)).data,
        tensors.floats(name),
      );
    };
    const { visual } = model.encodeImages(upload(device(), tensors.get('images')));
    await compare('memory', visual);

    const names = branchNames('visual_decoder');
    const decoder = new Decoder(device(), parameters, names, configuration.visualDecoder);
    const branch = new Branch(device(), decoder, tokenizer);
    const { logits } = await branch.readStepwise(branch.prepareMemory(visual), 3, 26);
    await compare('vis_ar_logits_26', logits);
    const read = await onHost(logits);
    expect(idsOf(read)).toEqual(tensors.integers('vis_ids'));
    const size = read.data.length / 3;
    const texts = [0, 1, 2].map(
      (row) => readingFromLogits(read.data.slice(row * size, (row + 1) * size), tokenizer).text,
    );
    expect(texts).toEqual(readJsonFixture<{ vis_strings: string[] }>('formats/formats.json').vis_strings);

    const ids = Uint32Array.from(tensors.integers('tokens'));
    const tokens = device().tensor(ids, tensors.get('tokens').shape);
    await compare('text_features', encodeText(tokens, parameters, 'clip_model.', configuration.text));
    parameters.dispose();
  }),
);
