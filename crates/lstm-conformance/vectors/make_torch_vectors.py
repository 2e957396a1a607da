"""Make small reference vectors for LSTM conformance tests with torch.nn.LSTM.

Usage: python make_torch_vectors.py [OUT_DIR]    (OUT_DIR: this script's folder unless given)
Needs torch, numpy and safetensors. Every value is drawn here, from a generator seeded by SEED
and the case's name (so no case depends on another): parameters uniform in
+-weight_scale/sqrt(H), all else standard normal. The same versions on the same kind of CPU
make the same two files, byte for byte:

  torch_small.json         "generator", "seed", "n" (number of cases), "torch" (its version),
                           "format" (the layout in words, see FORMAT) and "cases": for each its
                           name, torch.nn.LSTM's arguments, has_state, lengths, dtype, sizes T
                           (steps), B (batch), I (input), H (hidden), weight_scale and loss.
  torch_small.safetensors  the tensors, named CASE/TENSOR, in the case's dtype: the parameters
                           under torch's names, x, the initial state h0 and c0, the results
                           output, h_n, c_n, the loss's coefficients loss.RESULT, and the
                           gradients grad.INPUT of x, h0, c0 and every parameter.
"""

import json
import math
import sys
import zlib
from pathlib import Path

import torch
from safetensors.torch import save
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

SEED = 7841

FORMAT = {
    "weights": "torch's parameter names and shapes, gates stacked in the order i, f, g, o; "
    "bias_* only when bias is true, weight_hr_* only when proj_size > 0",
    "x": "[T,B,I], with batch_first [B,T,I], when unbatched [T,I] (whatever batch_first says)",
    "h0,c0": "[L*D,B,P] and [L*D,B,H], D = 2 when bidirectional, else 1, P = proj_size, or H when "
    "that is 0; batch_first or not; without B when unbatched; absent (zero) unless has_state",
    "lengths": "null, or each sequence's own length <= T: x is arbitrary past it; run as a packed "
    "sequence (enforce_sorted=False); output is zero past it; h_n, c_n are from its last step",
    "output,h_n,c_n": "expected results: output like x with D*P features, h_n like h0, c_n like c0",
    "loss": "sum(loss.output*output) + sum(loss.h_n*h_n) + sum(loss.c_n*c_n)",
    "grad.*": "gradient of that loss for x, every parameter and, when has_state, h0 and c0",
}

DEFAULTS = {
    "num_layers": 1, "bias": True, "batch_first": False, "bidirectional": False, "proj_size": 0,
    "unbatched": False, "has_state": False, "lengths": None, "dtype": "float64",
    "T": 5, "B": 3, "I": 4, "H": 3, "weight_scale": 1.0,
}  # fmt: skip

F32 = {"dtype": "float32"}
STATE, BI = {"has_state": True}, {"bidirectional": True}
BATCH_FIRST, NO_BIAS = {"batch_first": True}, {"bias": False}
UNBATCHED = {"unbatched": True, "B": 1}

CASES = {
    "plain_f64": {},
    "plain_f32": {**F32, "T": 7, "B": 5, "I": 7, "H": 6},
    "no_bias_f64": NO_BIAS,
    "state_f64": {**STATE, "B": 4, "H": 5},
    "batch_first_state_f32": {**BATCH_FIRST, **STATE, **F32, "I": 6},
    "unbatched_f64": UNBATCHED,
    "unbatched_batch_first_state_f32": {**UNBATCHED, **BATCH_FIRST, **STATE, **F32},
    "unbatched_two_layer_bidirectional_state_f64": {**UNBATCHED, "num_layers": 2, **BI, **STATE, "I": 2},
    "lengths_f32": {"lengths": [2, 6, 1, 6, 3], **F32, "T": 6, "B": 5},
    "lengths_batch_first_state_f64": {"lengths": [3, 5, 1], **BATCH_FIRST, **STATE},
    "lengths_all_below_t_state_f64": {"lengths": [4, 2, 3], **STATE, "T": 6},
    "bidirectional_f64": BI,
    "bidirectional_lengths_state_f64": {**BI, "lengths": [1, 4, 7, 2], **STATE, "T": 7, "B": 4},
    "two_layer_bidirectional_state_f32": {"num_layers": 2, **BI, **STATE, **F32, "B": 2},
    "two_layer_bidirectional_lengths_f32": {"num_layers": 2, **BI, "lengths": [5, 2, 4, 1], **F32, "B": 4},
    "three_layer_f32": {"num_layers": 3, **F32, "I": 5, "H": 4},
    "three_layer_bidirectional_batch_first_no_bias_lengths_state_f64": {
        "num_layers": 3, **BI, **BATCH_FIRST, **NO_BIAS, "lengths": [2, 4, 3], **STATE, "T": 4, "H": 2},
    "one_step_state_f32": {"T": 1, **STATE, **F32},
    "one_step_two_layer_bidirectional_f64": {"T": 1, "num_layers": 2, **BI},
    "hidden_one_bidirectional_state_f64": {"H": 1, **BI, **STATE},
    "input_one_f32": {"I": 1, **F32, "T": 9},
    "batch_one_two_layer_state_f64": {"B": 1, "num_layers": 2, **STATE},
    "all_sizes_one_state_f64": {"T": 1, "B": 1, "I": 1, "H": 1, **STATE},
    "saturated_state_f64": {"weight_scale": 8.0, **STATE, "T": 8, "I": 7, "H": 5},
    "saturated_two_layer_bidirectional_f32": {"weight_scale": 8.0, "num_layers": 2, **BI, **F32, "T": 6},
    "projection_state_f64": {"proj_size": 3, **STATE, "H": 5},
    "projection_two_layer_no_bias_f32": {"proj_size": 2, "num_layers": 2, **NO_BIAS, **F32, "H": 4},
    "projection_two_layer_bidirectional_batch_first_lengths_state_f64": {
        "proj_size": 1, "num_layers": 2, **BI, **BATCH_FIRST, "lengths": [2, 4, 1], **STATE, "T": 4},
    "long_state_f64": {**STATE, "T": 60, "B": 2, "H": 4},
}  # fmt: skip


def run_case(name, case):
    """Run one case (a full set of fields); return its tensors by name and its loss."""
    generator = torch.Generator().manual_seed(SEED + zlib.crc32(name.encode()))
    dtype = getattr(torch, case["dtype"])

    def normal(shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    options = ("num_layers", "bias", "batch_first", "bidirectional", "proj_size")
    lstm = torch.nn.LSTM(case["I"], case["H"], **{key: case[key] for key in options}, dtype=dtype)
    bound = case["weight_scale"] / math.sqrt(case["H"])
    inputs = dict(lstm.named_parameters())
    with torch.no_grad():
        for parameter in inputs.values():
            parameter.uniform_(-bound, bound, generator=generator)
    batch = [] if case["unbatched"] else [case["B"]]
    steps = batch + [case["T"]] if case["batch_first"] else [case["T"]] + batch
    inputs["x"] = normal(steps + [case["I"]]).requires_grad_()
    rows, state = case["num_layers"] * (2 if case["bidirectional"] else 1), None
    if case["has_state"]:
        inputs["h0"] = normal([rows] + batch + [case["proj_size"] or case["H"]]).requires_grad_()
        inputs["c0"] = normal([rows] + batch + [case["H"]]).requires_grad_()
        state = (inputs["h0"], inputs["c0"])

    x, layout = inputs["x"], {"batch_first": case["batch_first"]}
    if case["lengths"]:
        x = pack_padded_sequence(x, torch.tensor(case["lengths"]), enforce_sorted=False, **layout)
    output, (h_n, c_n) = lstm(x, state)
    if case["lengths"]:
        output, _ = pad_packed_sequence(output, total_length=case["T"], **layout)

    results = {"output": output, "h_n": h_n, "c_n": c_n}
    coefficients = {f"loss.{key}": normal(result.shape) for key, result in results.items()}
    loss = sum((coefficients[f"loss.{key}"] * result).sum() for key, result in results.items())
    grads = zip(inputs, torch.autograd.grad(loss, list(inputs.values())))
    tensors = {**inputs, **results, **coefficients, **{f"grad.{key}": grad for key, grad in grads}}
    return {key: tensor.detach().contiguous() for key, tensor in tensors.items()}, loss.item()


def main():
    out_dir = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.backends.mkldnn.enabled = False  # torch's own float32 kernels, on every CPU
    tensors, cases = {}, []
    for name, changes in CASES.items():
        case = {**DEFAULTS, **changes}
        results, loss = run_case(name, case)
        tensors.update({f"{name}/{key}": tensor for key, tensor in results.items()})
        cases.append({"name": name, **case, "loss": loss})
    about = {"generator": Path(__file__).name, "seed": SEED, "n": len(cases),
             "torch": torch.__version__.split("+")[0], "format": FORMAT, "cases": cases}  # fmt: skip
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / "torch_small.safetensors").write_bytes(save(tensors))
    (out_dir / "torch_small.json").write_bytes(json.dumps(about, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
