"""PyTorch's side of `clip4str-engine bench --model --torch` and `bench --training --torch`: the model and the data come from
there, so that both compute the same."""

import time

from torch_clip4str import build
from torch_pipe import device, free_memory, peak_bytes, serve, torch, wait
from torch_training import Training


class Twin:
    def __init__(self):
        self.weights = {}
        self.forget()

    def forget(self, _message=None, _tensors=None):
        self.model = self.training = self.images = self.ids = self.permutations = None
        free_memory()
        peak_bytes()
        return {}

    def weight(self, message, tensors):
        self.weights[message["name"]] = tensors["values"]
        return {}

    def build(self, message, _):
        self.forget()
        weights, self.weights = self.weights, {}
        merges = message["merges"].split("\n")
        self.model = build(message["configuration"], weights, merges, message["dropout"], message["half"])
        return {}

    def give_images(self, _, tensors):
        self.images = tensors["images"]
        return {}

    def read(self, message, _):
        """From normalised pixels in the host's memory to texts in it."""
        wait()
        start = time.perf_counter()
        with torch.inference_mode():
            images = self.images.to(device)
            if message["half"]:
                images = images.half()
            logits = self.model.read(images, message["stopEarly"])
            probabilities, ids = logits.float().softmax(-1).max(-1)
            probabilities, ids = probabilities.tolist(), ids.tolist()
        read = [self.model.characters.reading(*row) for row in zip(ids, probabilities)]
        milliseconds = 1000 * (time.perf_counter() - start)
        texts, confidences = zip(*read)
        return {"milliseconds": milliseconds, "texts": texts, "confidences": confidences, "peakBytes": peak_bytes()}

    def prepare_training(self, message, tensors):
        self.training = Training(self.model, message["options"])
        self.images, self.ids = tensors["images"], tensors["ids"]
        self.permutations = message["permutations"]
        loss = self.training.loss_without_dropout(self.images, self.ids, self.permutations)
        peak_bytes()
        return {"loss": loss}

    def step(self, message, _):
        milliseconds, loss, skipped = self.training.step(
            self.images, self.ids, self.permutations, message["learningRates"]
        )
        return {"milliseconds": milliseconds, "loss": loss, "skipped": skipped, "peakBytes": peak_bytes()}


if __name__ == "__main__":
    twin = Twin()
    names = ("forget", "weight", "build", "give_images", "read", "prepare_training", "step")
    serve({name: getattr(twin, name) for name in names})
