"""Names of classes: equal to Keras' own, without a network."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError
from larqlite_zoo import decode_predictions
from larqlite_zoo._decode import imagenet_classes

# What tf_keras.applications.imagenet_utils expects of imagenet_class_index.json.
MD5_OF_KERAS_LIST = "c2c37ea517e94d9795004a39431a14cb"


def test_the_shipped_list_is_the_one_that_keras_downloads():
    index = {str(i): list(row) for i, row in enumerate(imagenet_classes())}
    digest = hashlib.md5(json.dumps(index).encode()).hexdigest()
    assert digest == MD5_OF_KERAS_LIST


def test_known_classes_stand_where_they_belong():
    classes = imagenet_classes()
    assert len(classes) == len({wnid for wnid, _ in classes}) == 1000
    assert [wnid for wnid, _ in classes] == sorted(wnid for wnid, _ in classes)
    assert classes[0] == ("n01440764", "tench")
    assert classes[1] == ("n01443537", "goldfish")
    assert classes[207] == ("n02099601", "golden_retriever")
    assert classes[281] == ("n02123045", "tabby")
    assert classes[999] == ("n15075141", "toilet_tissue")


@pytest.mark.parametrize("top", [1, 5, 1000])
def test_predictions_are_decoded_as_keras_decodes_them(monkeypatch, top):
    utils = tf_keras.applications.imagenet_utils
    index = {str(i): list(row) for i, row in enumerate(imagenet_classes())}
    monkeypatch.setitem(utils.decode_predictions.__globals__, "CLASS_INDEX", index)
    preds = np.random.default_rng(0).random((3, 1000), dtype=np.float32)
    expected = utils.decode_predictions(preds, top=top)
    assert decode_predictions(preds, top=top) == expected
    assert decode_predictions(tf.constant(preds), top=top) == expected


def test_own_classes_are_named():
    decoded = decode_predictions(np.array([[0.2, 0.7, 0.1]]), classes=["a", "b", "c"])
    assert decoded == [[("b", 0.7), ("a", 0.2), ("c", 0.1)]]


@pytest.mark.parametrize(
    ("preds", "keywords", "says"),
    [
        (np.zeros(1000), {}, r"shape \(1000,\).*preds\[np\.newaxis\]"),
        (np.zeros((2, 7, 1000)), {}, r"shape \(2, 7, 1000\)"),
        (np.zeros((2, 10)), {}, "10 columns.*ImageNet has 1000.*classes="),
        (np.zeros((2, 3)), {"classes": ["a", "b"]}, "3 columns.*classes names 2"),
        (np.zeros((2, 1000)), {"top": 0}, "top=0"),
        (np.zeros((2, 1000)), {"top": 2.5}, r"top=2\.5"),
    ],
)
def test_what_cannot_be_decoded_is_refused(preds, keywords, says):
    with pytest.raises(ArgumentError, match=f"(?s){says}"):
        decode_predictions(preds, **keywords)
