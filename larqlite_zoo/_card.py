"""The typed card of a model: where it comes from, what it costs, how well it does.

Every number on a card has a source: costs are computed from the model itself
(`_costs.json`, checked by a test), accuracies name the page or the results file
that they were read from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from larqlite_runtime.notebook import ShownTable, ShowsTables
from larqlite_zoo._card_tables import card_tables

TRAINED = Path(__file__).with_name("_trained.json")
PACKAGE_URL = "package:larqlite-zoo-weights"


@dataclass(frozen=True)
class Paper:
    """A publication: its title, its address and its year."""

    title: str
    url: str
    year: int


@dataclass(frozen=True)
class Accuracy:
    """An accuracy somebody published.

    Attributes:
        dataset: such as "imagenet".
        top1: percent.
        top5: percent, or None where the source gives none.
        source: the page or the table the figures were read from.
    """

    dataset: str
    top1: float
    top5: float | None
    source: str


@dataclass(frozen=True)
class Measurement:
    """An accuracy that a script of this repository measured.

    Attributes:
        dataset: such as "fashion_mnist".
        top1: percent on the test images.
        command: the command that was run, word for word.
        results: the file in the repository that holds the row.
        epochs: trained, where the row says so.
        seed: of the run, where the row says so.
        date: of the run, where the row says so.
    """

    dataset: str
    top1: float
    command: str
    results: str
    epochs: int | None = None
    seed: int | None = None
    date: str | None = None


@dataclass(frozen=True)
class WeightFile:
    """A file of published weights.

    Attributes:
        name: the file's name.
        url: where it is fetched from: `https://`, `http://` or `file://`; or
            `package:larqlite-zoo-weights`, which holds the files trained here.
        sha256: its SHA-256, 64 hexadecimal digits.
        include_top: whether it holds the classifier too.
        dataset: what the weights were trained on, the word for `weights=`.
        top1: accuracy of this very file on the validation images, in percent; None if
            others trained it.
    """

    name: str
    url: str
    sha256: str
    include_top: bool
    dataset: str = "imagenet"
    top1: float | None = None


@dataclass(frozen=True)
class Costs:
    """What a model costs at the input size of its card.

    Attributes:
        parameters: number of values in all weights (Keras' `count_params`).
        deployed_parameters: those left once BatchNormalization is fused.
        deployed_bytes: of all weights, packed at their bit widths.
        macs: multiply-accumulates of one image by the wider of weight and input, in
            bits.
    """

    parameters: int
    deployed_parameters: int
    deployed_bytes: int
    macs: dict[int, int]


@dataclass(frozen=True)
class Card(ShowsTables):
    """What is known of a model; made by `larqlite_zoo.card(name)`.

    Attributes:
        name: the registered name, such as "quicknet".
        function: the public function that builds it, such as "QuickNet".
        family: the folder it lives in: "literature", "sota" or "small".
        summary: one sentence.
        paper: where the architecture was published.
        licence: of the code here; published weight files have their own.
        input_shape: of one image `(height, width, channels)`.
        num_classes: of the default classifier.
        costs: at that input shape.
        published: accuracies that others published.
        measured: accuracies that scripts of this repository measured.
        weights: the published weight files.
        recipe: the name of its training recipe, or None.
        notes: remarks.
    """

    name: str
    function: str
    family: str
    summary: str
    paper: Paper
    input_shape: tuple[int, int, int]
    num_classes: int
    costs: Costs
    licence: str = "Apache-2.0"
    published: tuple[Accuracy, ...] = ()
    measured: tuple[Measurement, ...] = ()
    weights: tuple[WeightFile, ...] = ()
    recipe: str | None = None
    notes: tuple[str, ...] = ()

    def _shown(self) -> list[ShownTable]:
        return card_tables(self)


# Whom the figures and the files of models that Larq Zoo published are from.
LARQ_ZOO = "Larq Zoo 2.4.0"

_RELEASES = "https://github.com/larq/zoo/releases/download"


def larq_zoo_file(
    release: str, name: str, sha256: str, *, include_top: bool = True
) -> WeightFile:
    """A weight file of Larq Zoo, trained on ImageNet.

    Args:
        release: the tag it is attached to, such as "birealnet-v0.3.0".
        name: of the file.
        sha256: of the file, as Larq Zoo's source gives it.
        include_top: whether it holds the classifier.
    """
    return WeightFile(name, f"{_RELEASES}/{release}/{name}", sha256, include_top)


def trained_here(model: str) -> tuple[WeightFile, ...]:
    """The weight files of a model that this repository trained, in the order of the table."""
    rows = json.loads(TRAINED.read_text(encoding="utf-8"))
    return tuple(
        WeightFile(
            row["file"], PACKAGE_URL, row["sha256"], True, row["word"], row["top1"]
        )
        for row in rows
        if row["model"] == model
    )
