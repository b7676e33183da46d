"""Writes what the original PyTorch code computes from images, stage by stage, for `clip4str-engine bench --reference`.

    python export.py --repository CLIP4STR --checkpoint clip4str_b.ckpt --images words/ --output reference.safetensors

--repository is a clone of https://github.com/VamosC/CLIP4STR (CLIP4STR, PARSeq, CLIP with an adapter) or of
https://github.com/baudm/parseq (PARSeq), and Python is one with that repository's requirements and with safetensors.
Nothing in the clone is changed: its modules are called as they are, and hooks keep what passes between them. README.md
beside this file describes what is written.

A checkpoint in PyTorch's format is a pickle, which runs what it holds: give only files that you trust.
"""

import argparse
import hashlib
import importlib
import json
import os
import platform
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from unittest import mock

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

IMAGE_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}

# How OpenAI's CLIP normalises; the original reads with 0.5 and trains with these.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


class Failure(Exception):
    """Something that the user can put right; the message says how."""


def main():
    options = parse_options()
    repository = Path(options.repository).resolve()
    if not (repository / "strhub").is_dir():
        raise Failure(f"--repository {repository}: has no folder strhub; give a clone of CLIP4STR or of parseq.")
    sys.path.insert(0, str(repository))

    weights, stored = read_checkpoint(options.checkpoint)
    arguments = {**experiment_arguments(options), **stored, **dict(options.set)}
    model = build_model(weights, arguments, options.checkpoint).eval().to(options.device)
    for name in ("decode_ar", "refine_iters"):
        value = getattr(options, name)
        if value is not None:
            setattr(core(model), name, value)
    if kind_of(weights) == "clip4str" and not core(model).decode_ar:
        raise Failure("decode_ar is off, with which CLIP4STR's own code fails; give --decode-ar true.")

    files, pixels = load_images(model, arguments, options)
    tensors, read = run(model, pixels, options)
    tensors["images"] = pixels
    for name in [name for name in tensors if name.startswith(tuple(options.without))]:
        del tensors[name]
    metadata = {
        "decode_ar": bool(core(model).decode_ar),
        "refine_iters": int(core(model).refine_iters),
        "stopping": options.stopping,
        "batch_size": options.batch_size,
        "charset_test": arguments["charset_test"],
        "checkpoint": Path(options.checkpoint).name,
        "checkpoint_sha256": sha256(options.checkpoint),
        "versions": versions(repository, options.device),
        **({"files": files} if files else {}),
        **read,
    }
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        options.output,
        metadata={key: json.dumps(value) for key, value in metadata.items()},
    )
    shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items())
    print(f"{options.output}: {shapes}")


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--repository", required=True, help="clone of the original code")
    add("--checkpoint", required=True, help="checkpoint (.ckpt, .pt, .bin, .safetensors)")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", help="folder of images, or one image")
    source.add_argument("--pixels", help="safetensors file with normalised pixels images [n,3,height,width]")
    add("--output", required=True, help="safetensors file to write")
    add("--limit", type=int, help="take that many images at most")
    add("--batch-size", type=int, default=16, help="images computed together (default: 16)")
    add(
        "--stopping",
        choices=["independent", "batch"],
        default="independent",
        help="independent: every position is computed (max_length given); batch: as the original's own reading, the loop "
        "ends with the texts of a batch, so that images depend on their batch mates (default: independent)",
    )
    add("--decode-ar", type=parse_flag, help="whether to read one character after another (default: the checkpoint's)")
    add("--refine-iters", type=int, help="passes over the whole text (default: the checkpoint's)")
    add("--normalization", choices=["half", "clip"], default="half", help="of image files: mean and deviation 0.5, or CLIP's")
    add("--experiment", help="of the repository's configs, as vl4str: for checkpoints without hyper-parameters")
    add("--set", action="append", default=[], type=parse_setting, metavar="NAME=VALUE", help="hyper-parameter, value as JSON")
    add("--without", action="append", default=[], metavar="NAME", help="leave out tensors whose name begins so, as memory")
    add("--device", default="cpu", help="as cpu, cuda (default: cpu)")
    return parser.parse_args()


def parse_flag(text):
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError("expected true or false")
    return text == "true"


def parse_setting(text):
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def read_checkpoint(path):
    """State dict and hyper-parameters, as far as the file tells them."""
    if not os.path.isfile(path):
        raise Failure(f"--checkpoint {path}: no such file.")
    if path.endswith(".safetensors"):
        with safe_open(path, "pt") as file:
            stored = {key: parse_setting(f"{key}={value}")[1] for key, value in (file.metadata() or {}).items()}
        return {name: tensor.float() for name, tensor in load_file(path).items()}, stored
    content = torch.load(path, map_location="cpu", weights_only=False)
    stored = dict(content.get("hyper_parameters", {}))
    weights = content.get("state_dict", content)
    # Newer PARSeq code keeps its model one level deeper; released files have it either way.
    return {name.removeprefix("model."): tensor for name, tensor in weights.items()}, stored


def experiment_arguments(options):
    if options.experiment is None:
        return {}
    try:
        return dict(importlib.import_module("strhub.models.utils")._get_config(options.experiment))
    except FileNotFoundError as error:
        raise Failure(f"--experiment {options.experiment}: {error.filename} does not exist.") from None


def kind_of(weights):
    if any(name.startswith("visual_decoder.") for name in weights):
        return "clip4str"
    return "str_adapter" if any(name.startswith("clip_model.") for name in weights) else "parseq"


def build_model(weights, arguments, checkpoint):
    """The original's model with the checkpoint's weights. CLIP4STR's needs no file of CLIP: its checkpoint has all of it."""
    kind = kind_of(weights)
    module, name = {
        "clip4str": ("strhub.models.vl_str.system", "VL4STR"),
        "str_adapter": ("strhub.models.str_adapter.system", "STRAdapter"),
        "parseq": ("strhub.models.parseq.system", "PARSeq"),
    }[kind]
    if kind == "parseq":
        model = construct(getattr(importlib.import_module(module), name), arguments, checkpoint)
        core(model).load_state_dict(weights)
        return model

    clip = importlib.import_module("strhub.clip.clip")
    build_clip = importlib.import_module("strhub.clip.model").build_model
    prefix = "clip_model."
    own = {key[len(prefix) :]: value.clone() for key, value in weights.items() if key.startswith(prefix)}
    exists = os.path.exists
    # The original asks for the folder of CLIP files of its authors' machine as soon as it is imported.
    with mock.patch("os.path.exists", lambda path: str(path).endswith("pretrained/clip") or exists(path)):
        system = getattr(importlib.import_module(module), name)
    with mock.patch.object(clip, "load", lambda *_, **__: (build_clip(own).float(), None)):
        # Any file that exists will do for its path.
        model = construct(system, {**arguments, "clip_pretrained": checkpoint}, checkpoint)
    model.load_state_dict(weights)
    return model


def construct(system, arguments, checkpoint):
    try:
        return system(**arguments)
    except TypeError as error:
        raise Failure(
            f"{checkpoint}: its hyper-parameters do not make a {system.__name__} ({error}). A checkpoint without "
            "hyper-parameters needs --experiment, others may need --set NAME=VALUE."
        ) from None


def core(model):
    """The module that decodes: newer PARSeq code keeps it inside the Lightning module."""
    return getattr(model, "model", model)


def load_images(model, arguments, options):
    """Names of the files, if there are any, and pixels as the original's own reading makes them."""
    if options.pixels:
        return None, load_file(options.pixels)["images"].float()[: options.limit]
    path = Path(options.images)
    found = sorted(path.iterdir()) if path.is_dir() else [path]
    files = [file for file in found if file.suffix.lower() in IMAGE_ENDINGS][: options.limit]
    if not files:
        raise Failure(f"--images {path}: no images there; they end in {', '.join(sorted(IMAGE_ENDINGS))}.")
    from PIL import Image
    from strhub.data.module import SceneTextDataModule

    ways = {} if options.normalization == "half" else {"mean": CLIP_MEAN, "std": CLIP_DEVIATION}
    transform = SceneTextDataModule.get_transform(tuple(arguments["img_size"]), **ways)
    pixels = []
    for file in files:
        with Image.open(file) as image:
            pixels.append(transform(image.convert("RGB")))
    return [file.name for file in files], torch.stack(pixels)


def run(model, pixels, options):
    """Reads all images; gives the tensors of every stage, and the texts."""
    limit = () if options.stopping == "batch" else (core(model).max_label_length,)
    batches = defaultdict(list)
    for images in pixels.split(options.batch_size):
        with torch.inference_mode():
            for name, tensor in record(model, images.to(options.device), limit).items():
                batches[name].append(tensor.cpu())
    tensors = {name: join(parts) for name, parts in batches.items()}
    read = {"texts": [], "visual_texts": []}
    last_visual = [name for name in tensors if name.startswith("visual_")][-1:]
    for key, names in (("texts", ["logits"]), ("visual_texts", last_visual)):
        for logits in (row for name in names for part in batches[name] for row in part):
            read[key] += model.tokenizer.decode(logits[None].softmax(-1))[0]
    return tensors, {key: texts for key, texts in read.items() if texts}


def record(model, images, limit):
    """One batch through the model's own forward, with what its parts gave on the way."""
    inner = core(model)
    given = defaultdict(list)

    def keep(name, take=lambda output: output):
        return lambda _module, _inputs, output: given[name].append(take(output).detach())

    def watched(name, method):
        def call(*inputs, **named):
            output = method(*inputs, **named)
            given[name].append(output.detach())
            if name == "text_features":
                given["caption_tokens"].append(inputs[0].detach())
            return output

        return call

    two_branches = hasattr(inner, "visual_decoder")
    with mock.patch.object(inner, "encode", watched("memory", inner.encode)):
        if two_branches:
            clip = inner.clip_model
            hooks = [
                getattr(inner, f"{branch}_decoder").register_forward_hook(keep(branch, lambda output: output[0]))
                for branch in ("visual", "cross")
            ]
            with mock.patch.object(clip, "encode_text", watched("text_features", clip.encode_text)):
                logits = model(images, *limit)
        else:
            hooks = [inner.head.register_forward_hook(keep("single"))]
            logits = model(images, *limit)
    for hook in hooks:
        hook.remove()

    stages = {"memory": given["memory"][0]}
    if two_branches:
        for branch in ("visual", "cross"):
            first, refined = passes(given[branch], inner)
            stages[f"{branch}_logits"] = first
            for number, tensor in enumerate(refined, 1):
                stages[f"{branch}_refined_logits_{number}"] = tensor
        for number, (tokens, features) in enumerate(zip(given["caption_tokens"], given["text_features"])):
            stages[f"caption_tokens_{number}"] = tokens.to(torch.int32)
            # The end token's feature alone has no axis of tokens yet.
            stages[f"text_features_{number}"] = features[:, None] if features.ndim == 2 else features
    else:
        first, refined = passes(given["single"], inner)
        stages["first_logits"] = first
        for number, tensor in enumerate(refined, 1):
            stages[f"refined_logits_{number}"] = tensor
    stages["logits"] = logits.detach()
    return {name: tensor if name.startswith("caption") else tensor.float() for name, tensor in stages.items()}


def passes(outputs, inner):
    """What a decoder gave: its first reading, step by step or at once, then each refinement."""
    refinements = int(inner.refine_iters)
    steps = outputs[: len(outputs) - refinements]
    return torch.cat(steps, dim=1), outputs[len(outputs) - refinements :]


def join(parts):
    """Batches as one tensor; positions that a batch did not compute are NaN."""
    most = max(part.shape[1] for part in parts)
    if all(part.shape[1] == most for part in parts):
        return torch.cat(parts)
    padded = [part.new_full((part.shape[0], most, *part.shape[2:]), float("nan")) for part in parts]
    for whole, part in zip(padded, parts):
        whole[:, : part.shape[1]] = part
    return torch.cat(padded)


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def versions(repository, device):
    told = {"python": platform.python_version(), "torch": str(torch.__version__), "device": str(device)}
    git = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    try:
        told["repository"] = subprocess.run(git, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        told["repository"] = repository.name
    return told


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"error: {failure}")
