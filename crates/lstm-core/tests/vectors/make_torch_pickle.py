"""Makes torch_checkpoint.pt: a checkpoint as training scripts save it. Run with torch 2.

Element k of the tensor number n of an LSTM (in the order of its state dict) is n + k / 64, which f32 holds.
"""

from pathlib import Path

import torch


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True, proj_size=2)
        self.cell = torch.nn.LSTMCell(2, 3, bias=False)
        self.gru = torch.nn.GRU(2, 3)
        self.head = torch.nn.Linear(3, 2)


def fill(module):
    for n, tensor in enumerate(module.state_dict().values()):
        tensor.copy_(n + torch.arange(tensor.numel()).reshape(tensor.shape) / 64)


def views_of_one_storage():
    """As `flatten_parameters` leaves the tensors on a GPU: every tensor starts inside one storage."""
    lstm = torch.nn.LSTM(2, 3)
    fill(lstm)
    state = lstm.state_dict()
    storage = torch.cat([tensor.flatten() for tensor in state.values()])
    views, start = {}, 0
    for name, tensor in state.items():
        views[name] = storage[start : start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()
    return views


model = Model()
fill(model.encoder)
fill(model.cell)
checkpoint = {"epoch": 3, "state_dict": model.state_dict(), "flat": views_of_one_storage()}
torch.save(checkpoint, Path(__file__).parent / "torch_checkpoint.pt")
