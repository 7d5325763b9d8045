"""`lq run` counts right labels in every form that labels have, or says why it cannot."""

import re

import numpy as np
import pytest

from larqlite_runtime.commands._accuracy import accuracies

rng = np.random.default_rng(0)
FLAT = rng.normal(size=(40, 5)).astype(np.float32)
IMAGE = rng.normal(size=(4, 6, 7, 5)).astype(np.float32)
FIRST = np.moveaxis(IMAGE, -1, 1)  # channels first
SIGMOID = rng.random((40, 1)).astype(np.float32)


def noisy(output, axis=-1):
    """Labels of which about a third are wrong, and the share that is right."""
    right = output.argmax(axis)
    labels = np.where(rng.random(right.shape) < 0.5, right, (right + 1) % 5)
    return labels, f"accuracy: {100 * np.mean(labels == right):.2f} % of {labels.size}"


def one(output, labels):
    return str(accuracies({"out": output}, labels)["out"])


@pytest.mark.parametrize(("output", "axis"), [(FLAT, -1), (IMAGE, -1), (FIRST, 1)])
def test_numbers_of_classes_and_one_hot_rows_are_counted(output, axis):
    labels, line = noisy(output, axis)
    one_hot = np.moveaxis(np.eye(5)[labels], -1, axis)
    for given in (
        labels,
        labels.astype(np.uint8),
        labels.astype(np.float32),
        labels[..., None],
        one_hot,
        one_hot.astype(bool),
    ):
        assert one(output, given) == line


def test_probabilities_of_one_value_are_counted():
    right = SIGMOID.ravel() > 0.5
    labels = right ^ (rng.random(40) < 0.3)
    line = f"accuracy: {100 * np.mean(labels == right):.2f} % of 40"
    for output in (SIGMOID, SIGMOID.ravel()):
        for given in (labels, labels[:, None], labels.astype(np.float32)):
            assert one(output, given) == line


@pytest.mark.parametrize(
    ("output", "labels", "why"),
    [
        (FLAT, FLAT, "one class each"),
        (FLAT, (FLAT > 0) * 1, "one class each"),
        (FLAT, np.full(40, 5), "goes from 5 to 5, .* classes 0 to 4"),
        (FLAT, np.full(40, -1), "goes from -1"),
        (FLAT, np.full(40, 0.5), "fractions"),
        (FLAT, np.full(40, np.nan), "NaN"),
        (FLAT, np.full(40, "cat"), "<U3, not numbers"),
        (FLAT, np.zeros((40, 3)), r"y \(40x3\) and an output \(40x5\) do not fit"),
        (IMAGE, np.zeros((4, 6)), r"\(4x6\) .* \(4x6x7x5\) do not fit"),
        (FLAT[:, :1], np.ones(40), "no probability"),
        (SIGMOID, np.full(40, 3), "y is 0 or 1"),
        (SIGMOID, np.zeros((40, 2)), "do not fit"),
    ],
)
def test_why_there_is_no_accuracy_is_said(output, labels, why):
    line = one(output, labels)
    assert line.startswith("no accuracy: ")
    assert re.search(why, line)


def test_labels_are_of_the_outputs_that_they_fit():
    labels, line = noisy(FLAT)
    outputs = {"features": FLAT[:, :, None], "classes": FLAT}
    found = accuracies(outputs, labels)
    assert {name: str(one) for name, one in found.items()} == {"classes": line}
    assert set(accuracies(outputs, np.zeros((40, 9)))) == set(outputs)
    assert accuracies(outputs, None) == {}
