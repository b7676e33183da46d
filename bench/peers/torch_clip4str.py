"""CLIP4STR in PyTorch, as the original computes it, for `clip4str-engine bench --model` and `--training` to be set against.

Its parameters have the original's names. As in the original no keys and values are kept: every step of a reading sends the
whole text so far and the whole memory through the decoder again; CLIP's blocks have the tokens first; the decoders' attention
gives its weights, which rules out PyTorch's fused attention.
"""

import math
from collections import OrderedDict

from torch_captions import CaptionTokenizer, Characters
from torch_pipe import device, torch

nn = torch.nn
F = torch.nn.functional
HIDDEN = float("-inf")


class WideLayerNorm(nn.LayerNorm):
    """CLIP normalises in f32 whatever the type of the rest."""

    def forward(self, x):
        return super().forward(x.float()).to(x.dtype)


class QuickGelu(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class ClipBlock(nn.Module):
    def __init__(self, width, heads, mlp_width):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads)
        self.ln_1 = WideLayerNorm(width)
        parts = [("c_fc", nn.Linear(width, mlp_width)), ("gelu", QuickGelu()), ("c_proj", nn.Linear(mlp_width, width))]
        self.mlp = nn.Sequential(OrderedDict(parts))
        self.ln_2 = WideLayerNorm(width)

    def forward(self, x, mask=None):
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        blocks = [ClipBlock(sizes["width"], sizes["heads"], sizes["mlpWidth"]) for _ in range(sizes["layers"])]
        self.resblocks = nn.ModuleList(blocks)

    def forward(self, x, mask=None):
        """x: [batch, tokens, width]"""
        x = x.permute(1, 0, 2)
        for block in self.resblocks:
            x = block(x, mask)
        return x.permute(1, 0, 2)


class ImageEncoder(nn.Module):
    def __init__(self, sizes, embed_width):
        super().__init__()
        width, patch = sizes["width"], sizes["patchSize"]
        patches = math.prod(side // step for side, step in zip(sizes["imageSize"], patch))
        self.conv1 = nn.Conv2d(3, width, kernel_size=tuple(patch), stride=tuple(patch), bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty(patches + 1, width))
        self.ln_pre = WideLayerNorm(width)
        self.transformer = Transformer(sizes)
        self.ln_post = WideLayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, embed_width))

    def forward(self, images):
        """Features of all tokens before the projection."""
        x = self.conv1(images).flatten(2).permute(0, 2, 1)
        first = self.class_embedding.to(x.dtype).expand(len(x), 1, -1)
        x = torch.cat([first, x], dim=1) + self.positional_embedding.to(x.dtype)
        return self.ln_post(self.transformer(self.ln_pre(x)))


class ClipModel(nn.Module):
    def __init__(self, image, text, embed_width):
        super().__init__()
        self.visual = ImageEncoder(image, embed_width)
        self.transformer = Transformer(text)
        self.token_embedding = nn.Embedding(text["vocabulary"], text["width"])
        self.positional_embedding = nn.Parameter(torch.empty(text["positions"], text["width"]))
        self.ln_final = WideLayerNorm(text["width"])
        self.text_projection = nn.Parameter(torch.empty(text["width"], embed_width))
        self.logit_scale = nn.Parameter(torch.empty([]))

    def encode_text(self, tokens):
        """Projected features of all tokens."""
        length = tokens.shape[1]
        x = self.token_embedding(tokens) + self.positional_embedding[:length]
        mask = torch.full((length, length), HIDDEN, dtype=x.dtype, device=x.device).triu_(1)
        return self.ln_final(self.transformer(x, mask)) @ self.text_projection


class DecoderLayer(nn.Module):
    def __init__(self, width, heads, mlp_width, dropout):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.cross_attn = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.linear1 = nn.Linear(width, mlp_width)
        self.linear2 = nn.Linear(mlp_width, width)
        for name in ("norm1", "norm2", "norm_q", "norm_c"):
            setattr(self, name, nn.LayerNorm(width))
        self.drop = nn.Dropout(dropout)

    def stream(self, x, normed, content, memory, mask, padding):
        seen, _ = self.self_attn(normed, content, content, attn_mask=mask, key_padding_mask=padding)
        x = x + self.drop(seen)
        looked, _ = self.cross_attn(self.norm1(x), memory, memory)
        x = x + self.drop(looked)
        return x + self.drop(self.linear2(self.drop(F.gelu(self.linear1(self.norm2(x))))))

    def forward(self, query, content, memory, query_mask, content_mask, padding, last):
        normed = self.norm_c(content)
        query = self.stream(query, self.norm_q(query), normed, memory, query_mask, padding)
        return query, content if last else self.stream(content, normed, normed, memory, content_mask, padding)


class TextEmbedding(nn.Module):
    def __init__(self, charset_size, width):
        super().__init__()
        self.embedding = nn.Embedding(charset_size, width)

    def forward(self, ids):
        return math.sqrt(self.embedding.embedding_dim) * self.embedding(ids)


class Decoder(nn.Module):
    def __init__(self, sizes, dropout):
        super().__init__()
        width = sizes["width"]
        layers = [DecoderLayer(width, sizes["heads"], sizes["mlpWidth"], dropout) for _ in range(sizes["layers"])]
        self.layers = nn.ModuleList(layers)
        self.text_embed = TextEmbedding(sizes["classes"] + 2, width)
        self.pos_queries = nn.Parameter(torch.empty(1, sizes["maxLabelLength"] + 1, width))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, sizes["classes"])
        self.drop = nn.Dropout(dropout)

    def forward(self, ids, memory, positions, query_mask=None, content_mask=None, padding=None):
        """Logits of some positions, a slice, from ids [batch, context], the begin token first."""
        context = ids.shape[1]
        placed = self.pos_queries[:, : context - 1] + self.text_embed(ids[:, 1:])
        content = self.drop(torch.cat([self.text_embed(ids[:, :1]), placed], dim=1))
        query = self.drop(self.pos_queries[:, positions].expand(len(ids), -1, -1))
        for i, layer in enumerate(self.layers):
            last = i == len(self.layers) - 1
            query, content = layer(query, content, memory, query_mask, content_mask, padding, last)
        return self.head(self.norm(query))


class Clip4Str(nn.Module):
    """configuration: as clip4str-engine has it of a checkpoint."""

    def __init__(self, configuration, merges, dropout=0.0):
        super().__init__()
        self.configuration = configuration
        self.clip_model = ClipModel(configuration["image"], configuration["text"], configuration["embedWidth"])
        self.visual_decoder = Decoder(configuration["visualDecoder"], dropout)
        self.cross_decoder = Decoder(configuration["crossDecoder"], dropout)
        self.characters = Characters(configuration["charset"], configuration["testCharset"])
        self.tokenize = CaptionTokenizer(merges, configuration["text"]["contextLength"])

    def encode_images(self, images):
        features = self.clip_model.visual(images)
        if self.configuration["clipClsEotFeature"]:
            features = features[:, :1]
        return features @ self.clip_model.visual.proj if self.configuration["useShareDim"] else features

    def cross_memory(self, logits, image, detach=True):
        """Image features and those of the captions that logits make; the original has no gradients from here to the image."""
        if detach:
            image = image.detach()
        if not self.configuration["useShareDim"]:
            image = image @ self.clip_model.visual.proj
        ids = logits.detach().softmax(-1).argmax(-1).tolist()
        tokens = torch.tensor(self.tokenize([self.characters.caption(row) for row in ids]), device=image.device)
        text = self.clip_model.encode_text(tokens)
        if self.configuration["clipClsEotFeature"]:
            text = text[torch.arange(len(text), device=text.device), tokens.argmax(-1)][:, None]
        return torch.cat([image, text], dim=1)

    def read(self, images, stop_early):
        """Logits of images [batch, 3, height, width]. With stop_early the loop ends once every image has an end token, as in
        the original's own reading; else every position is computed, as where the original is given max_length."""
        steps = self.configuration["crossDecoder"]["maxLabelLength"] + 1
        image = self.encode_images(images)
        future = torch.full((steps, steps), HIDDEN, dtype=image.dtype, device=image.device).triu_(1)
        seen = self._read_stepwise(self.visual_decoder, image, future, steps, stop_early)
        memory = self.cross_memory(seen, image)
        read = self._read_stepwise(self.cross_decoder, memory, future, seen.shape[1], False)
        cloze = future.clone()
        cloze[torch.ones_like(cloze, dtype=torch.bool).triu_(2)] = 0
        for _ in range(self.configuration["refineIterations"]):
            seen = self._refine(self.visual_decoder, seen, image, cloze)
            read = self._refine(self.cross_decoder, read, self.cross_memory(seen, image), cloze)
        return read

    def _read_stepwise(self, decoder, memory, future, steps, stop_early):
        ids = torch.full((len(memory), steps), self.characters.pad, dtype=torch.long, device=memory.device)
        ids[:, 0] = self.characters.begin
        logits = []
        for step in range(steps):
            seen = step + 1
            given = ids[:, :seen], memory, slice(step, seen), future[step:seen, :seen], future[:seen, :seen]
            logits.append(decoder(*given))
            if seen < steps:
                ids[:, seen] = logits[-1][:, 0].argmax(-1)
                if stop_early and (ids == self.characters.end).any(dim=-1).all():
                    break
        return torch.cat(logits, dim=1)

    def _refine(self, decoder, logits, memory, cloze):
        begin = torch.full((len(logits), 1), self.characters.begin, dtype=torch.long, device=logits.device)
        ids = torch.cat([begin, logits[:, :-1].argmax(-1)], dim=1)
        padding = (ids == self.characters.end).cumsum(-1) > 0
        context = ids.shape[1]
        return decoder(ids, memory, slice(None), cloze[:, :context], cloze[:context, :context], padding)


def build(configuration, weights, merges, dropout=0.0, half=False):
    """weights: tensors by the original's names. The model on the device, not training; half: all but CLIP's norms in f16."""
    model = Clip4Str(configuration, merges, dropout)
    model.load_state_dict(weights)
    if half:
        model.half()
        for module in model.modules():
            if isinstance(module, WideLayerNorm):
                module.float()
    return model.eval().to(device)
