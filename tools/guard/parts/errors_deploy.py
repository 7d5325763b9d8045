"""Mistakes at `lq.deploy`, `lq.models` and the runtime."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import tensorflow as tf
import tf_keras

import larqlite as lq
import larqlite_runtime

from ..models import L, Q, low_bit, row


def _export(*layers, shape=(8,), path="model.onnx", **options):
    def call():
        model = tf_keras.Sequential([tf_keras.Input(shape, name="x")], name="model")
        for layer in layers:
            model.add(layer() if callable(layer) and not _is_layer(layer) else layer)
        return lq.deploy.export(model, path, **options)

    return call


def _is_layer(thing) -> bool:
    return isinstance(thing, tf_keras.layers.Layer)


def _dense(**options):
    return lambda: Q.QuantDense(2, name="dense", **(low_bit() | options))


def _nan():
    model = row((8,), _dense()())
    model.layers[1].kernel.assign(np.full((8, 2), np.nan))
    return lq.deploy.export(model, "model.onnx")


def _subclassed():
    class Mine(tf_keras.Model):
        def call(self, inputs):
            return 2 * inputs

    model = Mine(name="mine")
    model.build((None, 3))
    return lq.deploy.export(model, "model.onnx")


class Double(L.Layer):
    """A class that nobody has told of."""

    def call(self, inputs):
        return 2 * inputs


class _Loud(Q.QuantDense):
    def call(self, inputs):
        return 2 * super().call(inputs)


def deploy() -> dict:
    """Calls by what is wrong."""
    dorefa = lq.quantizers.DoReFa
    sequence = {"shape": (4, 3)}
    model = row((8,), _dense()(), name="model")
    lq.deploy.export(model, "good.onnx")
    return {
        "no model": lambda: lq.deploy.export("model.keras", "model.onnx"),
        "unbuilt": lambda: lq.deploy.export(
            tf_keras.Sequential([L.Dense(2)], name="unbuilt"), "model.onnx"
        ),
        "subclassed": _subclassed,
        "open sizes": _export(
            lambda: Q.QuantConv2D(8, 3, **low_bit()), shape=(None, None, 3)
        ),
        "float64": _export(lambda: L.Dense(2, dtype="float64", name="dense")),
        "folder": _export(_dense(), path="."),
        "missing folder": _export(_dense(), path="nowhere/model.onnx"),
        "suffix": _export(_dense(), path="model.txt"),
        "path": _export(_dense(), path=3),
        "locally connected": _export(
            lambda: Q.QuantLocallyConnected2D(2, 3, name="local"), shape=(8, 8, 3)
        ),
        "lambda": _export(lambda: L.Lambda(lambda x: 2 * x, name="double")),
        "lstm": _export(lambda: L.LSTM(2, name="lstm"), **sequence),
        "time distributed": _export(
            lambda: L.TimeDistributed(L.Dense(2), name="steps"), **sequence
        ),
        "masking": _export(lambda: L.Masking(name="mask"), **sequence),
        "embedding": _export(
            lambda: L.Embedding(5, 2, mask_zero=True, name="words"), shape=(3,)
        ),
        "unknown layer": _export(lambda: Double(name="double")),
        "own call": _export(lambda: _Loud(2, name="loud", **low_bit())),
        "scaled inputs": _export(_dense(input_quantizer="magnitude_aware_sign")),
        "ternary weight networks": _export(
            lambda: _dense(
                input_quantizer=lq.quantizers.SteTern(ternary_weight_networks=True)
            )()
        ),
        "weights as inputs": _export(
            lambda: _dense(input_quantizer=dorefa(2, mode="weights"))()
        ),
        "nine bits": _export(lambda: _dense(input_quantizer=dorefa(9))()),
        "nine bits of a kernel": _export(
            lambda: _dense(kernel_quantizer=dorefa(9, mode="weights"))()
        ),
        "not binary": _export(
            lambda: _dense(kernel_quantizer=lq.quantizers.NoOp(precision=1))()
        ),
        "nan": _nan,
        "data of another shape": _export(_dense(), data=np.zeros((2, 9), "float32")),
        "verify no file": lambda: lq.deploy.verify(model, "nothing.onnx"),
        "verify another": lambda: lq.deploy.verify(
            row((8,), L.Dense(3), name="other"), "good.onnx"
        ),
        "verify data": lambda: lq.deploy.verify(model, "good.onnx", np.zeros((2, 3))),
        "verify tolerance": lambda: lq.deploy.verify(model, "good.onnx", tolerance=-1),
        "qonnx batch": lambda: lq.deploy.to_qonnx(model, "q.onnx", batch_size=0),
        "converter of no class": lambda: lq.deploy.converter(3),
        "summary of no model": lambda: lq.models.summary("model"),
        "load nothing": lambda: lq.models.load("nothing.keras"),
    }


def _functional(function, shape=(4,)):
    def call():
        x = tf_keras.Input(shape, name="x")
        model = tf_keras.Model(x, function(x), name="model")
        return lq.deploy.export(model, "model.onnx")

    return call


def functions() -> dict:
    """Calls by what is wrong."""
    return {
        "cumsum": _functional(lambda x: tf.math.cumsum(x, axis=1)),
        "mean over the batch": _functional(lambda x: tf.reduce_mean(x, axis=0)),
        "reshape": _functional(lambda x: tf.reshape(x, (-1,))),
        "concat of batches": _functional(lambda x: tf.concat([x, x], axis=0)),
        "cast": _functional(lambda x: tf.cast(x, "int32")),
        "training": _functional(
            lambda x: L.Dropout(0.5, name="drop")(x, training=True)
        ),
        "attention": _functional(
            lambda x: L.MultiHeadAttention(2, 2, name="heads")(x, x), (4, 3)
        ),
    }


def runtime() -> dict:
    """Calls by what is wrong."""
    model = row((8, 8, 3), Q.QuantConv2D(4, 3, name="conv", **low_bit()), name="model")
    lq.deploy.export(model, "model.onnx")
    data = pathlib.Path("model.onnx").read_bytes()
    packed = larqlite_runtime.load(data, threads=1)
    load = larqlite_runtime.load

    def changed(edit):
        def call():
            file = onnx.load_from_string(data)
            edit(file.graph)
            return load(file.SerializeToString())

        return call

    def packed_node(graph):
        return next(node for node in graph.node if node.op_type == "BConv2D")

    def attribute(name, value):
        def edit(graph):
            node = packed_node(graph)
            kept = [item for item in node.attribute if item.name != name]
            del node.attribute[:]
            node.attribute.extend(kept)
            if value is not None:
                node.attribute.append(onnx.helper.make_attribute(name, value))

        return changed(edit)

    def rename(graph):
        packed_node(graph).op_type = "BConv9D"

    def shorten(graph):
        item = next(i for i in graph.initializer if i.name == "conv/kernel")
        item.raw_data = item.raw_data[:-1]
        item.dims[0] -= 1

    def lost(graph):
        del graph.initializer[:]

    return {
        "no file": lambda: load("nothing.onnx"),
        "empty": lambda: load(b""),
        "text": lambda: load(b"no model at all"),
        "half": lambda: load(data[: len(data) // 2]),
        "damaged": lambda: load(data[:60] + b"\xff\xff\xff" + data[63:]),
        "budget": lambda: load(data, budget=100),
        "threads": lambda: load(data, threads=0),
        "isa": lambda: load(data, isa="mmx"),
        "outputs": lambda: load(data, outputs=["cnv:0"]),
        "inputs": lambda: load(data, inputs=["nothing"]),
        "sample without batch": lambda: packed(np.zeros((8, 8, 3), "float32")),
        "shape": lambda: packed(np.zeros((1, 8, 8, 4), "float32")),
        "strings": lambda: packed(np.array(["a"])),
        "name": lambda: packed({"y": np.zeros((1, 8, 8, 3), "float32")}),
        "two": lambda: packed([np.zeros((1, 8, 8, 3), "float32")] * 2),
        "profile": lambda: packed.profile(np.zeros((1, 8, 8, 3)), repeat=0),
        "batch size": lambda: packed.predict(np.zeros((1, 8, 8, 3)), batch_size=0),
        "operation": changed(rename),
        "kernel too short": changed(shorten),
        "no kernel": changed(lost),
        "strides": attribute("strides", [0, 1]),
        "dilations": attribute("dilations", [1, 1, 1]),
        "group": attribute("group", 2),
        "input": attribute("input", "signs"),
        "pad value": attribute("pad_value", 0.5),
        "no pads": attribute("pads", None),
        "float layers": lambda: larqlite_runtime.float_layers("nothing.onnx"),
    }
