"""Files that carry code or name it, and models that run it: each makes a marker, a file."""

from __future__ import annotations

import copy
import json
import os
import zipfile
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf
import tf_keras

import larqlite as lq

L = tf_keras.layers
KERAS, H5, FOLDER = ".keras", ".h5", ""

# Byte code in a file finds its names nowhere but in what is built in.
CODE = {
    "tensor": lambda x: (
        __import__("pathlib").Path(__import__("os").environ["MARKER"]).touch(),
        x,
    )[1],
    "shape": lambda shape, dtype=None: (
        __import__("pathlib").Path(__import__("os").environ["MARKER"]).touch(),
        __import__("tensorflow").zeros(shape),
    )[1],
    "number": lambda w: (
        __import__("pathlib").Path(__import__("os").environ["MARKER"]).touch(),
        0.0,
    )[1],
    "pair": lambda a, b: (
        __import__("pathlib").Path(__import__("os").environ["MARKER"]).touch(),
        a - b,
    )[1],
}


class Writes(L.Layer):
    """Writes a file when it is called, by an operation of TensorFlow."""

    def call(self, x):
        with tf.control_dependencies([tf.io.write_file(os.environ["MARKER"], "x")]):
            return tf.identity(x)


def of(*layers, shape=(3,), **compiled):
    model = tf_keras.Sequential([tf_keras.Input(shape), *layers])
    if compiled:
        model.compile("sgd", **compiled)
        model.fit(np.zeros((2, 3)), np.zeros((2, 2)), verbose=0)
    return model


def residual_cells():
    wrapper = tf.nn.RNNCellResidualWrapper
    cells = wrapper(L.LSTMCell(3), residual_fn=CODE["pair"])
    return of(L.RNN(cells), shape=(4, 3))


# What is carried, by what the refusal must name: model, formats that hold it.
CARRIED = {
    'Lambda layer "shift"': (
        lambda: of(L.Lambda(CODE["tensor"], name="shift")),
        (KERAS, H5, FOLDER),
    ),
    'Lambda layer "inner/shift"': (
        lambda: of(
            tf_keras.Sequential(
                [tf_keras.Input((3,)), L.Lambda(CODE["tensor"], name="shift")], "inner"
            )
        ),
        (KERAS, H5, FOLDER),
    ),
    'Lambda layer "each/shift"': (
        lambda: of(
            L.TimeDistributed(L.Lambda(CODE["tensor"], name="shift"), name="each"),
            shape=(4, 3),
        ),
        (KERAS, H5, FOLDER),
    ),
    'activation of the Dense layer "d"': (
        lambda: of(L.Dense(2, CODE["tensor"], name="d")),
        (KERAS, H5),
    ),
    'kernel_initializer of the Dense layer "d"': (
        lambda: of(L.Dense(2, kernel_initializer=CODE["shape"], name="d")),
        (KERAS, H5),
    ),
    'kernel_regularizer of the Dense layer "d"': (
        lambda: of(L.Dense(2, kernel_regularizer=CODE["number"], name="d")),
        (KERAS, H5),
    ),
    'kernel_constraint of the Dense layer "d"': (
        lambda: of(L.Dense(2, kernel_constraint=CODE["tensor"], name="d")),
        (KERAS, H5),
    ),
    'input_quantizer of the QuantDense layer "q"': (
        lambda: of(lq.layers.QuantDense(2, input_quantizer=CODE["tensor"], name="q")),
        (KERAS, H5),
    ),
    "its loss": (lambda: of(L.Dense(2), loss=CODE["pair"]), (KERAS,)),
    "its metrics": (
        lambda: of(L.Dense(2), loss="mse", metrics=[CODE["pair"]]),
        (KERAS,),
    ),
    "residual_fn of the ResidualWrapper layer": (
        residual_cells,
        (KERAS, H5, FOLDER),
    ),
    "operation WriteFile": (lambda: of(Writes()), (FOLDER,)),
}


def edited(folder: Path, kind: str, change, model=None) -> Path:
    """A file whose configuration was changed by hand."""
    model = model or of(L.Dense(2, name="d"))
    source, path = folder / f"plain{kind}", folder / f"edited{kind}"
    model.save(source)
    if kind == H5:
        path.write_bytes(source.read_bytes())
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            file.attrs["model_config"] = json.dumps(change(config))
        return path
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for item in old.namelist():
            content = old.read(item)
            if item == "config.json":
                content = json.dumps(change(json.loads(content)))
            new.writestr(item, content)
    return path


def function(module, name):
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": name,
    }


def with_activation(activation):
    def change(config):
        config = copy.deepcopy(config)
        config["config"]["layers"][-1]["config"]["activation"] = activation
        return config

    return change


def with_layer(module, name, **settings):
    def change(config):
        layer = {"module": module, "class_name": name, "registered_name": f"x>{name}"}
        config["config"]["layers"].append(
            {**layer, "config": {"name": "x", **settings}}
        )
        return config

    return change
