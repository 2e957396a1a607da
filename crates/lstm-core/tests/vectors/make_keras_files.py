"""Makes keras_model.keras, keras_legacy.h5 and keras_cudnn.h5. Run with keras 3, torch, h5py and numpy.

Element k of the array number n of a layer (kernel, recurrent_kernel, bias) is n + k / 64, which f32 holds;
of a Bidirectional's backward layer it is n + k / 64 + 100.
keras_cudnn.h5 has the names, shapes and groups with which Keras 2 saved a CuDNNLSTM; its numbers are as above.
"""

import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import h5py
import keras
import numpy as np

FOLDER = Path(__file__).parent


def numbers(n, shape, shift=0):
    return (n + shift + np.arange(np.prod(shape)).reshape(shape) / 64).astype("float32")


def filled(layer, shift=0):
    layer.set_weights([numbers(n, w.shape, shift) for n, w in enumerate(layer.get_weights())])


model = keras.Sequential(
    [
        keras.Input((None, 3)),
        keras.layers.Bidirectional(keras.layers.LSTM(2, return_sequences=True), name="both"),
        keras.layers.GRU(2, return_sequences=True),
        keras.layers.LSTM(2, use_bias=False, activation="relu", dropout=0.1, name="last"),
        keras.layers.Dense(1),
    ]
)
both, _, last, _ = model.layers
filled(both.forward_layer)
filled(both.backward_layer, 100)
filled(last)
model.save(FOLDER / "keras_model.keras")
model.save(FOLDER / "keras_legacy.h5")

with h5py.File(FOLDER / "keras_cudnn.h5", "w", libver="earliest") as file:
    group = file.create_group("cu_dnnlstm_1/cu_dnnlstm_1")
    for n, (name, shape) in enumerate(
        [("kernel:0", (3, 8)), ("recurrent_kernel:0", (2, 8)), ("bias:0", (16,))]
    ):
        group.create_dataset(name, data=numbers(n, shape))
