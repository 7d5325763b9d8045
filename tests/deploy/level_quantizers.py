"""Quantizers whose levels have a scale and an offset, or are those of a table."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

import larqlite as lq


class SignedSteps(lq.quantizers.Quantizer):
    """`scale * clip(round((x - offset) / scale), low, high) + offset`."""

    def __init__(self, low=-8, high=7, scale=0.37, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.low, self.high, self.scale, self.offset = low, high, scale, offset
        self.precision = (high - low).bit_length()

    def forward(self, x):
        steps = (x - np.float32(self.offset)) / np.float32(self.scale)
        whole = tf.round(tf.clip_by_value(steps, self.low, self.high))
        return whole * np.float32(self.scale) + np.float32(self.offset)

    def derivative(self, x):
        return tf.ones_like(x)


@lq.deploy.activation_converter(SignedSteps)
def convert_signed_steps(graph, quantizer, value):
    return graph.quantized(
        value,
        "Integers",
        quantizer.scale,
        quantizer.offset,
        low=quantizer.low,
        high=quantizer.high,
    )


class Table(lq.quantizers.Quantizer):
    """The nearest level of a table; the lower one in the middle."""

    def __init__(self, levels, **kwargs):
        super().__init__(**kwargs)
        self.levels = np.array(levels, np.float32)
        self.precision = max(1, (len(levels) - 1).bit_length())

    def forward(self, x):
        nearest = tf.argmin(tf.abs(x[..., None] - self.levels), -1)
        return tf.gather(self.levels, nearest)

    def derivative(self, x):
        return tf.ones_like(x)


@lq.deploy.activation_converter(Table)
def convert_table(graph, quantizer, value):
    levels = quantizer.levels
    return graph.table(value, (levels[1:] + levels[:-1]) / 2, levels)
