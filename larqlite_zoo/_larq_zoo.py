"""What Larq Zoo published: where its weight files are, and who its figures are from."""

from __future__ import annotations

from larqlite_zoo._card import WeightFile

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
