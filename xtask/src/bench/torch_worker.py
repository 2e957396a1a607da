"""PyTorch as a worker of `cargo xtask bench`; the protocol is described in worker.rs.

Sequences run nn.LSTM, single steps nn.LSTMCell. Needs torch and numpy.
"""
import os
import sys
import time
from collections import namedtuple

REPLY = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # Whatever a library prints must not look like an answer.


def reply(text):
    REPLY.write(" ".join(text.split()) + "\n")
    REPLY.flush()


try:
    import numpy as np
    import torch
except ImportError as error:
    reply(f"UNSUPPORTED {sys.executable} cannot import what it takes: {error}")
    sys.exit()

torch.set_num_threads(int(os.environ.get("PEER_THREADS", "1")))
DEVICE = os.environ.get("PEER_DEVICE", "cpu")
PRECISION = os.environ.get("PEER_PRECISION", "f32")
DTYPE = torch.bfloat16 if PRECISION == "bf16" else torch.float32
torch.backends.cudnn.allow_tf32 = PRECISION == "tf32"
torch.backends.cuda.matmul.allow_tf32 = PRECISION == "tf32"
# Many calls make a sample on a device, whose queue has to fill and empty.
MIN_SAMPLE = 5e-3 if DEVICE == "cuda" else 20e-6


def finish():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


Shape = namedtuple("Shape", "B T I H L both")
NAMED = {
    "W1": "128,5,256,128,1",
    "W2": "20,20,200,200,2",
    "W3": "20,35,650,650,2",
    "W4": "32,50,100,200,1,bi",
    "W5": "1,1000,128,256,1",
    "W6": "64,100,512,1024,1",
}
STEMS = {"weight_ih": "w_ih", "weight_hh": "w_hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}


def shape_of(case):
    for prefix, steps in (("VS", 6), ("S", 1)):
        if case.startswith(prefix):
            hidden = int(case[len(prefix) :])
            return Shape(1, steps, hidden, hidden, 1, False)
    sizes = NAMED.get(case, case).split(",")
    return Shape(*map(int, sizes[:5]), sizes[5:] == ["bi"])


def hashed(key, n, scale):
    """`n` values uniform in +-scale, the same bits as in data.rs."""
    seed = 0xCBF29CE484222325
    for byte in key.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    unit = (z >> np.uint64(40)).astype(np.float32) / np.float32(16777216)
    return (np.float32(2) * unit - np.float32(1)) * np.float32(scale)


def build(case, shape, train):
    """The module, its parameters in order, and the input, [T, B, I]."""
    module = torch.nn.LSTM(shape.I, shape.H, shape.L, bidirectional=shape.both)
    scale = np.float32(1) / np.sqrt(np.float32(shape.H))
    parameters = []
    with torch.no_grad():
        for layer in range(shape.L):
            for direction in range(1 + shape.both):
                for theirs, stem in STEMS.items():
                    name = f"{theirs}_l{layer}" + ("_reverse" if direction else "")
                    parameter = getattr(module, name)
                    key = f"{case}/{stem}_l{layer}_d{direction}"
                    numbers = hashed(key, parameter.numel(), scale)
                    parameter.copy_(torch.from_numpy(numbers).reshape(parameter.shape))
                    parameters.append(parameter)
    x = torch.from_numpy(hashed(f"{case}/x", shape.T * shape.B * shape.I, 1.0))
    x = x.reshape(shape.T, shape.B, shape.I).to(DEVICE, DTYPE)
    module.to(DEVICE, DTYPE)
    return module.train(train), parameters, x.requires_grad_(train)


def cell_of(shape, parameters):
    cell = torch.nn.LSTMCell(shape.I, shape.H).requires_grad_(False)
    for name, parameter in zip(STEMS, parameters):
        getattr(cell, name).copy_(parameter)
    return cell


def call_of(case, word):
    """What is timed."""
    shape = shape_of(case)
    module, parameters, x = build(case, shape, word == "train")
    if word == "train":
        leaves = [x, *parameters]

        def call():
            for leaf in leaves:
                leaf.grad = None
            module(x)[0].sum().backward()

    elif word == "step":
        with torch.no_grad():
            cell = cell_of(shape, parameters)
        state = [(torch.zeros(1, shape.H), torch.zeros(1, shape.H))]

        def call():
            state[0] = cell(x[0], state[0])

    else:

        def call():
            module(x)

    return call


def answer_of(case, word):
    """The output, and for training the gradients by x and by each parameter."""
    shape = shape_of(case)
    module, parameters, x = build(case, shape, word == "train")
    if word == "train":
        output = module(x)[0]
        output.sum().backward()
        return [output.detach(), x.grad, *(p.grad for p in parameters)]
    with torch.no_grad():
        if word != "step":
            return [module(x)[0]]
        cell, state, outputs = cell_of(shape, parameters), None, []
        for row in x:
            state = cell(row, state)
            outputs.append(state[0])
        return outputs


def bench(call, seconds, least, most):
    clock = time.perf_counter
    if DEVICE == "cuda":  # The first call prepares.
        call()
        finish()
    started, once = clock(), float("inf")
    while True:
        before = clock()
        call()
        finish()
        once = min(once, clock() - before)
        if clock() - started > 5e-3:
            break
    inner = max(1, int(np.ceil(MIN_SAMPLE / max(once, 1e-9))))
    started, processor, samples = clock(), time.process_time(), []
    while True:
        before = clock()
        for _ in range(inner):
            call()
        finish()
        samples.append((clock() - before) / inner)
        passed = clock() - started
        if passed >= most or (passed >= seconds and len(samples) >= least):
            break
    cores = (time.process_time() - processor) / (clock() - started)
    samples = samples[:: -(-len(samples) // 2000)]
    return f"OK {cores:.3f} {inner} " + " ".join(f"{sample:.9e}" for sample in samples)


PREPARED = [None, None]


def respond(words):
    if words[0] == "info":
        return f"OK torch {torch.__version__}, {torch.get_num_threads()} threads"
    if words[0] == "verify":
        arrays = [tensor.float().cpu().numpy().astype("<f4").ravel() for tensor in answer_of(*words[1:3])]
        np.concatenate(arrays).tofile(words[3])
        return "OK"
    if words[0] == "bench":
        if PREPARED[0] != words[1:3]:
            PREPARED[:] = [words[1:3], call_of(*words[1:3])]
        with torch.inference_mode(words[2] != "train"):
            return bench(PREPARED[1], float(words[3]), int(words[4]), float(words[5]))
    return "ERR no such request: " + " ".join(words)


for line in sys.stdin:
    words = line.split()
    if words == ["quit"]:
        break
    if words:
        try:
            reply(respond(words))
        except Exception as error:  # Whatever it is, the driver has to hear of it.
            reply(f"ERR {type(error).__name__}: {error}")
