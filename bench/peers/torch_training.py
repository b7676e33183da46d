"""A training step of CLIP4STR as the original takes it: one permutation after another through both decoders, each with a
caption of its own; gradients clipped by their norm; AdamW; in mixed precision where that is asked for."""

import contextlib
import time

from torch_clip4str import HIDDEN
from torch_pipe import device, torch, wait

F = torch.nn.functional


def permutation_masks(permutation):
    """What context tokens and queries (rows) see of the context: what comes before them in the permutation; a context token
    sees itself as well."""
    positions = len(permutation) - 1
    rank = [0] * len(permutation)
    for place, position in enumerate(permutation):
        rank[position] = place
    rank = torch.tensor(rank)
    keys = rank[:positions]
    content, query = (torch.zeros(positions, positions) for _ in range(2))
    content[keys[None, :] > rank[:positions, None]] = HIDDEN
    query[keys[None, :] >= rank[1:, None]] = HIDDEN
    return content.to(device), query.to(device)


class Training:
    """options: as the request `prepare_training` has them."""

    def __init__(self, model, options):
        self.model = model
        self.options = options
        parameters = dict(model.named_parameters())
        for parameter in parameters.values():
            parameter.requires_grad_(False)
        groups = [
            {
                "params": [parameters[name].requires_grad_() for name in group["names"]],
                "lr": group["maxLearningRate"],
                "weight_decay": group["weightDecay"],
            }
            for group in options["groups"]
        ]
        self.trained = [parameter for group in groups for parameter in group["params"]]
        self.optimizer = torch.optim.AdamW(groups, betas=tuple(options["betas"]), eps=options["epsilon"])
        self.half = options["halfPrecision"]
        self.scaler = _scaler() if self.half else None

    def loss(self, images, ids, permutations):
        """ids: [labels, length], from begin to end, then padding."""
        model, options = self.model, self.options
        characters = model.characters
        inputs, targets = ids[:, :-1], ids[:, 1:]
        padding = (inputs == characters.pad) | (inputs == characters.end)
        image = model.encode_images(images)
        total, weight = 0, 0
        for number, permutation in enumerate(permutations):
            if number == 2:
                # From here on the end is no target.
                targets = torch.where(targets == characters.end, characters.pad, targets)
            count = (targets != characters.pad).sum().item()
            content_mask, query_mask = permutation_masks(permutation)
            positions = slice(0, inputs.shape[1])
            seen = model.visual_decoder(inputs, image, positions, query_mask, content_mask, padding)
            part = self._cross_entropy(seen, targets)
            if not options["visualOnly"]:
                memory = model.cross_memory(seen, image, options["imageDetach"])
                context = inputs
                if not options["crossGtContext"]:
                    context = torch.cat([inputs[:, :1], seen.detach().argmax(-1)[:, :-1]], dim=1)
                if options["crossClozeMask"]:
                    content_mask = query_mask = _cloze(inputs.shape[1])
                read = model.cross_decoder(context, memory, positions, query_mask, content_mask, padding)
                part = part + options["crossLossWeight"] * self._cross_entropy(read, targets)
            total = total + count * part
            weight += count
        return total / weight

    def step(self, images, ids, permutations, rates):
        """Milliseconds with the way of the images to the device, the loss, and whether a gradient was not finite."""
        self.model.train()
        wait()
        start = time.perf_counter()
        for group, rate in zip(self.optimizer.param_groups, rates):
            group["lr"] = rate
        with self.autocast():
            loss = self.loss(images.to(device), ids.to(device), permutations)
        skipped = False
        if self.scaler:
            self.scaler.scale(loss).backward()
            self.scaler.unscale_(self.optimizer)
            self._clip()
            before = self.scaler.get_scale()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            skipped = self.scaler.get_scale() < before
        else:
            loss.backward()
            self._clip()
            self.optimizer.step()
        self.optimizer.zero_grad()
        value = loss.item()
        wait()
        return 1000 * (time.perf_counter() - start), value, skipped

    def loss_without_dropout(self, images, ids, permutations):
        self.model.eval()
        with torch.no_grad():
            return self.loss(images.to(device), ids.to(device), permutations).item()

    def autocast(self):
        return torch.autocast(device.type, dtype=torch.float16) if self.half else contextlib.nullcontext()

    def _clip(self):
        if self.options["maxGradientNorm"] > 0:
            torch.nn.utils.clip_grad_norm_(self.trained, self.options["maxGradientNorm"])

    def _cross_entropy(self, logits, targets):
        return F.cross_entropy(logits.flatten(end_dim=1), targets.flatten(), ignore_index=self.model.characters.pad)


def _cloze(positions):
    mask = torch.zeros(positions, positions, device=device)
    mask.diagonal(1).fill_(HIDDEN)
    return mask


def _scaler():
    # Its place until 2.3, where it was for CUDA alone.
    return torch.amp.GradScaler(device.type) if hasattr(torch.amp, "GradScaler") else torch.cuda.amp.GradScaler()
