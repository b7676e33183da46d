"""How clip4str-engine talks with the PyTorch scripts beside this file, which it starts.

A message, either way, is a line of JSON and then the bytes of the tensors that its "tensors" lists: little-endian,
"f32" or "u32", one after another. The script speaks first and tells what it computes on; then every request, whose "op"
names a handler, gets one answer, or {"error": ...} where the handler fails. The script ends with its standard input.
"""

import ctypes
import json
import os
import signal
import sys
import warnings

# Whatever else prints, libraries among them, must not get between the messages.
_output = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
# Ctrl-C ends whoever started this script, and the standard input with it.
signal.signal(signal.SIGINT, signal.SIG_IGN)
warnings.filterwarnings("ignore")

OLDEST = 2


def send(message, tensors=()):
    """tensors: pairs of a name and a tensor of any type on any device."""
    parts = []
    for name, tensor in tensors:
        kind = "f32" if tensor.is_floating_point() else "u32"
        stored = tensor.detach().to("cpu", torch.float32 if kind == "f32" else torch.int32).contiguous()
        parts.append(({"name": name, "shape": list(stored.shape), "type": kind}, stored))
    line = json.dumps({**message, "tensors": [listed for listed, _ in parts]}) + "\n"
    _output.write(line.encode())
    for _, stored in parts:
        _output.write(ctypes.string_at(stored.data_ptr(), 4 * stored.numel()))
    _output.flush()


def fail(reason):
    send({"error": reason})
    sys.exit(1)


try:
    import torch
except (ImportError, OSError) as error:
    fail(
        "{0} has no PyTorch ({1}); install it by: {0} -m pip install torch".format(
            sys.executable, str(error).split("\n")[0]
        )
    )
if int(torch.__version__.split(".")[0]) < OLDEST:
    fail(
        "{} has PyTorch {}; {}.0 or later is needed: {} -m pip install --upgrade torch".format(
            sys.executable, torch.__version__, OLDEST, sys.executable
        )
    )

# f32 means f32: without these a GPU may multiply in TF32, which keeps 10 bits of 23.
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False

on_cuda = torch.cuda.is_available()
device = torch.device("cuda" if on_cuda else "cpu")


def wait():
    """Until the device has done all that it was given."""
    if on_cuda:
        torch.cuda.synchronize()


def peak_bytes():
    """Most memory that tensors took on the GPU since the last call; None on the CPU, where PyTorch does not count."""
    if not on_cuda:
        return None
    most = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return most


def free_memory():
    """Gives back what is not used, since the engine computes on the same GPU."""
    if on_cuda:
        torch.cuda.empty_cache()


def serve(handlers):
    """Answers requests until there are no more. handlers: by op, from a message and its tensors by name to an answer, or to
    an answer and tensors."""
    threads = torch.get_num_threads()
    computes_on = torch.cuda.get_device_name() if on_cuda else "CPU, {} thread{}".format(threads, "s" * (threads != 1))
    send({"name": "PyTorch ({})".format(computes_on), "version": torch.__version__, "device": device.type})
    while True:
        line = sys.stdin.buffer.readline()
        if not line:
            return
        message = json.loads(line)
        tensors = {listed["name"]: _receive(listed) for listed in message.get("tensors", ())}
        try:
            answer = handlers[message["op"]](message, tensors)
        except Exception as error:  # Whatever a user's PyTorch says: the other requests may still be answered.
            answer = {"error": "{}: {}".format(type(error).__name__, error)}
        # The next request may need the memory.
        del tensors
        send(*answer) if isinstance(answer, tuple) else send(answer)


def _receive(listed):
    """A tensor of a request, on the host; ids as int64, by which PyTorch looks things up."""
    count = 1
    for size in listed["shape"]:
        count *= size
    if count == 0:
        return torch.empty(listed["shape"])
    data = bytearray(4 * count)
    view = memoryview(data)
    filled = 0
    while filled < len(data):
        got = sys.stdin.buffer.readinto(view[filled:])
        if not got:
            sys.exit(0)
        filled += got
    stored = torch.frombuffer(data, dtype=torch.float32 if listed["type"] == "f32" else torch.int32)
    return (stored if listed["type"] == "f32" else stored.long()).reshape(listed["shape"])
