"""The rules for Keras 3's preprocessing layers: vocabularies, bins, images."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras

from larqlite.from_keras import _own_layers
from larqlite.from_keras._config import ANY, arrays, refusal
from larqlite.from_keras._rule import LayerRule, same

IMAGES = {
    "data_format": ("channels_last",),
    "bounding_box_format": (ANY,),
    "factor": (ANY,),
}
RESIZING = {
    **IMAGES,
    "pad_to_aspect_ratio": (False,),
    "antialias": (False,),
    # These two are read with pad_to_aspect_ratio only.
    "fill_mode": (ANY,),
    "fill_value": (ANY,),
}
VOCABULARY = frozenset(
    {"dtype", "vocabulary", "idf_weights", "vocabulary_size", "oov_method", "salt"}
)


def _lookup(layer: Any, cls: type, kwargs: dict, maker: Any) -> tf_keras.layers.Layer:
    """A lookup with the vocabulary that the layer has now, however it got it."""
    several = getattr(layer, "num_oov_indices", 1) > 1
    method = getattr(layer, "oov_method", None)
    other = method not in (None, "floormod") or getattr(layer, "salt", None)
    if several and other and type(layer).__name__ == "IntegerLookup":
        raise refusal(
            layer,
            f"oov_method={method!r} chooses among num_oov_indices="
            f"{layer.num_oov_indices} in a way that tf_keras does not know.",
            "oov_method='floormod', or num_oov_indices=1.",
            maker.where,
        )
    words = layer.get_vocabulary(include_special_tokens=False)
    if not words:
        raise refusal(
            layer,
            "has no vocabulary yet.",
            "call layer.adapt(data), or give it vocabulary=[...], before you convert.",
            maker.where,
        )
    if layer.get_config()["output_mode"] == "tf_idf":
        kwargs["idf_weights"] = _idf_weights(layer, len(words))
    return cls(vocabulary=[_plain(word) for word in words], **kwargs)


def _idf_weights(layer: Any, count: int) -> list[float]:
    """The weights of the words, without those of the special tokens before them."""
    lookup = getattr(layer, "_lookup_layer", layer)
    given = lookup.input_idf_weights
    weights = lookup.idf_weights if given is None else given
    flat = np.asarray(weights, "float32").ravel()
    return [float(w) for w in flat[-count:]]


def _plain(word: Any) -> Any:
    return int(word) if isinstance(word, int | np.integer) else str(word)


def _discretization(layer: Any, cls: type, kwargs: dict, maker: Any):
    bins = layer.bin_boundaries
    if bins is None:
        raise refusal(
            layer,
            "has no bins yet.",
            "call layer.adapt(data), or give it bin_boundaries=[...], before you convert.",
            maker.where,
        )
    return cls(bin_boundaries=[float(b) for b in bins], **kwargs)


def _normalization(layer: Any, cls: type, kwargs: dict, maker: Any):
    """With the mean and variance that were given; adapted ones are weights."""
    if layer.input_mean is None:
        return cls(**kwargs)
    axes = sorted(axis % (len(layer._build_input_shape)) for axis in layer.axis)
    shape = [layer._build_input_shape[axis] for axis in axes]
    mean, variance = arrays([layer.mean, layer.variance])
    own = {
        "mean": np.broadcast_to(
            np.ravel(mean) if mean.size == 1 else mean, _full(layer)
        ),
        "variance": np.broadcast_to(
            np.ravel(variance) if variance.size == 1 else variance, _full(layer)
        ),
    }
    own = {key: value.reshape(shape).tolist() for key, value in own.items()}
    return cls(**kwargs, **own)


def _full(layer: Any) -> list[int]:
    """The shape of the mean against an input: 1 where it is the same for all."""
    rank = len(layer._build_input_shape)
    axes = {axis % rank for axis in layer.axis}
    return [n if i in axes else 1 for i, n in enumerate(layer._build_input_shape)]


def _random_crop(layer: Any, cls: type, kwargs: dict, maker: Any):
    raise refusal(
        layer,
        "gives out the whole image at inference, against its own shape.",
        "CenterCrop or Resizing in the model, and RandomCrop in the data pipeline.",
        maker.where,
    )


RULES: dict[str, LayerRule] = {
    **same(
        "StringLookup IntegerLookup",
        without=VOCABULARY,
        make=_lookup,
        has_weights=False,
    ),
    "TextVectorization": LayerRule(
        without=VOCABULARY,
        neutral={"ragged": (False,)},
        make=_lookup,
        has_weights=False,
    ),
    "Discretization": LayerRule(
        _own_layers.Discretization,
        without=frozenset({"dtype", "bin_boundaries", "num_bins", "epsilon"}),
        make=_discretization,
        weights=lambda layer: [],
    ),
    "Normalization": LayerRule(
        without=frozenset({"mean", "variance"}), make=_normalization
    ),
    **same("Hashing HashedCrossing", without=frozenset({"dtype"})),
    **same("CategoryEncoding Rescaling"),
    "CenterCrop": LayerRule(neutral=IMAGES),
    "Resizing": LayerRule(neutral=RESIZING),
    **same("RandomFlip RandomRotation RandomTranslation RandomZoom", neutral=IMAGES),
    "RandomBrightness": LayerRule(neutral=IMAGES),
    "RandomContrast": LayerRule(neutral={**IMAGES, "value_range": ((0, 255),)}),
    "RandomCrop": LayerRule(neutral=IMAGES, make=_random_crop),
}
