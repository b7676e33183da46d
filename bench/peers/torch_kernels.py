"""PyTorch as a peer of `clip4str-engine bench --kernels`: the same pieces of work, as a user of PyTorch writes them."""

import contextlib
import time

from torch_pipe import device, free_memory, on_cuda, serve, torch, wait

F = torch.nn.functional


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


MULTIPLYING = ("matmul", "attention", "attention_gradient")

ACTIVATIONS = {"none": lambda x: x, "gelu": F.gelu, "quick_gelu": quick_gelu}


class Prepared:
    """Work that can be done again and again. call gives its outputs in their order."""

    def __init__(self, call, gradients=False, note=None):
        self.call = call
        self.note = note
        # What only computes forward keeps nothing for gradients.
        self.mode = contextlib.nullcontext if gradients else torch.inference_mode

    def run(self, times):
        with self.mode():
            for _ in range(times):
                self.call()

    def outputs(self):
        with self.mode():
            return self.call()


def forward(call):
    return Prepared(lambda: (call(),))


def gradients(result, inputs, result_gradient):
    """The way back alone: what it needs of the way there is kept."""

    def call():
        return torch.autograd.grad(result, inputs, result_gradient, retain_graph=True)

    return Prepared(call, gradients=True)


def matmul(work, given):
    left, right = given["left"], given["right"]
    bias, residual = given.get("bias"), given.get("residual")
    activation = ACTIVATIONS[work["activation"]]

    def product():
        x = left.mT if work["leftTransposed"] else left
        if work["rightTransposed"] and right.ndim == 2:
            return F.linear(x, right, bias)
        weight = right.mT if work["rightTransposed"] else right
        if bias is None:
            return x @ weight
        return torch.addmm(bias, x, weight) if x.ndim == 2 else torch.baddbmm(bias, x, weight)

    def call():
        result = activation(product())
        return result if residual is None else residual + result

    return forward(call)


def attention(work, given):
    query, key, value = (given[name] for name in ("query", "key", "value"))

    def call():
        return F.scaled_dot_product_attention(query, key, value, is_causal=work["causal"])

    if work["kernel"] == "attention":
        return forward(call)
    inputs = require_gradients(query, key, value)
    return gradients(call(), inputs, given["outputGradient"])


def layernorm(work, given, settings):
    x, weight = given["x"], given["weight"]
    epsilon = settings["layerNormEpsilon"]
    if work["kernel"] == "layernorm":
        return forward(lambda: F.layer_norm(x, x.shape[-1:], weight, given["bias"], epsilon))
    inputs = require_gradients(x, weight, torch.zeros_like(weight))
    return gradients(F.layer_norm(x, x.shape[-1:], *inputs[1:], epsilon), inputs, given["gradient"])


def cross_entropy(work, given):
    logits, targets = given["logits"], given["targets"]

    def call():
        # In f32, as autocast takes it.
        return F.cross_entropy(logits.float(), targets, reduction="none")

    if work["kernel"] == "cross_entropy":
        return forward(call)
    inputs = require_gradients(logits)
    losses = call()
    return gradients(losses, inputs, torch.ones_like(losses))


def embedding(work, given):
    index = given["index"]
    if work["kernel"] == "gather":
        return forward(lambda: given["table"].index_select(0, index))
    if work["kernel"] == "embedding":
        return forward(lambda: F.embedding(index, given["table"]))
    gradient = given["gradient"]
    table = gradient.new_zeros(work["tableRows"], work["width"])
    return gradients(F.embedding(index, *require_gradients(table)), (table,), gradient)


def adamw(given, settings):
    """Each time a step further: what is timed does not depend on the values."""
    rates = settings["adamw"]
    gradient = given["gradient"]

    def fresh():
        parameter = torch.nn.Parameter(given["parameter"].clone())
        options = {"lr": rates["learningRate"], "betas": tuple(rates["betas"]), "eps": rates["epsilon"]}
        options["weight_decay"] = rates["weightDecay"]
        try:
            optimizer = torch.optim.AdamW([parameter], fused=True, **options)
        except RuntimeError:  # Before 2.4 it is there on GPUs alone.
            optimizer = torch.optim.AdamW([parameter], **options)
        moments = {"exp_avg": given["firstMoment"].clone(), "exp_avg_sq": given["secondMoment"].clone()}
        state = {0: {"step": torch.tensor(float(rates["step"] - 1)), **moments}}
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        return parameter, optimizer

    def step(parameter, optimizer):
        parameter.grad = gradient.float()
        optimizer.step()
        state = optimizer.state[parameter]
        return parameter, state["exp_avg"], state["exp_avg_sq"]

    kept = fresh()
    prepared = Prepared(lambda: step(*kept), gradients=True)
    prepared.outputs = lambda: step(*fresh())
    if gradient.dtype != torch.float32:
        prepared.note = "its gradient is made f32 first"
    return prepared


def in_place(work, given, settings):
    """Each time a step further, as adamw."""
    if work["kernel"] == "lerp":
        value, weight = given["value"].float(), settings["lerpWeight"]
        average = given["average"].clone()
        prepared = Prepared(lambda: (average.lerp_(value, weight),))
        prepared.outputs = lambda: (given["average"].lerp(value, weight),)
        return prepared
    gradient, factor = given["gradient"], settings["momentumFactor"]

    def step(buffer):
        buffer.mul_(factor).add_(gradient)
        return buffer, gradient.add(buffer.to(gradient.dtype), alpha=factor)

    buffer = given["buffer"].clone()
    prepared = Prepared(lambda: step(buffer))
    prepared.outputs = lambda: step(given["buffer"].clone())
    return prepared


def elements(work, given, settings):
    x, kernel = given["x"], work["kernel"]
    if kernel == "square_sum":
        return forward(lambda: x.float().square().sum().reshape(1))
    if kernel == "dropout":
        return forward(lambda: F.dropout(x, settings["dropoutProbability"]))
    if kernel == "copy":
        return forward(x.clone)
    if kernel == "add":
        return forward(lambda: x + given["y"])
    activation = ACTIVATIONS[kernel.replace("_gradient", "")]
    if not kernel.endswith("_gradient"):
        return forward(lambda: activation(x))
    return gradients(activation(*require_gradients(x)), (x,), given["gradient"])


def rows(work, given):
    x, kernel = given["x"], work["kernel"]
    if kernel == "softmax":
        return forward(lambda: torch.softmax(x, -1))
    if kernel == "softmax_gradient":
        return gradients(torch.softmax(*require_gradients(x), -1), (x,), given["gradient"])
    if kernel == "argmax":
        return forward(lambda: torch.argmax(x, -1))
    if kernel == "mean":
        return forward(lambda: torch.mean(x, -1))
    return forward(lambda: torch.sum(x, -2, dtype=torch.float32))


def require_gradients(*inputs):
    return tuple(x.requires_grad_() for x in inputs)


FLOATS = {"f32": torch.float32, "f16": torch.float16}


def prepared_work(work, dtype, given, settings):
    kernel = work["kernel"]
    if kernel == "matmul":
        return matmul(work, given)
    if kernel in ("attention", "attention_gradient"):
        return attention(work, given)
    if kernel in ("layernorm", "layernorm_gradient"):
        return layernorm(work, given, settings)
    if kernel in ("cross_entropy", "cross_entropy_gradient"):
        return cross_entropy(work, given)
    if kernel in ("embedding", "embedding_gradient", "gather"):
        return embedding(work, given)
    if kernel == "adamw":
        return adamw(given, settings)
    if kernel in ("momentum", "lerp"):
        return in_place(work, given, settings)
    if kernel == "fill":
        return forward(lambda: torch.zeros(work["count"], device=device, dtype=FLOATS[dtype]))
    if kernel == "cast":
        return forward(lambda: given["x"].to(FLOATS[dtype]))
    if kernel in ("softmax", "softmax_gradient", "argmax", "mean", "column_sum"):
        return rows(work, given)
    if kernel in ("copy", "add", "dropout", "square_sum") or kernel.replace("_gradient", "") in ACTIVATIONS:
        return elements(work, given, settings)
    raise ValueError("no operator of its own for {}".format(kernel))


class Kernels:
    """The work that is under way: one at a time."""

    def __init__(self):
        self.prepared = None
        self.outputs = ()

    def prepare(self, message, tensors):
        types = {listed["name"]: listed["storedAs"] for listed in message["tensors"]}
        given = {
            name: tensor.to(device, torch.float16 if types[name] == "f16" else tensor.dtype)
            for name, tensor in tensors.items()
        }
        self.prepared = prepared_work(message["work"], message["dtype"], given, message["settings"])
        self.outputs = message["outputs"]
        self.prepared.run(1)
        wait()
        notes = [self.prepared.note, self._narrow_sums()]
        if on_cuda and message["dtype"] == "f32" and message["work"]["kernel"] in MULTIPLYING:
            notes.append("TF32 off")
        return {"note": "; ".join(note for note in notes if note)}

    def _narrow_sums(self):
        narrow = [
            listed["name"]
            for listed, result in zip(self.outputs, self.prepared.outputs())
            if listed["dtype"] == "f32" and result.dtype == torch.float16
        ]
        return narrow and "{} in f16".format(", ".join(narrow))

    def run(self, message, _):
        wait()
        start = time.perf_counter()
        self.prepared.run(message["times"])
        wait()
        return {"milliseconds": 1000 * (time.perf_counter() - start)}

    def results(self, _message, _tensors):
        return {}, [(listed["name"], result) for listed, result in zip(self.outputs, self.prepared.outputs())]

    def dispose(self, _message, _tensors):
        self.prepared = None
        free_memory()
        return {}


if __name__ == "__main__":
    kernels = Kernels()
    serve({name: getattr(kernels, name) for name in ("prepare", "run", "results", "dispose")})
