"""A small packed network and images for it."""

import numpy as np
import pytest

from tests.runtime import files


@pytest.fixture
def proto():
    return files.binary_block()


@pytest.fixture
def images():
    return np.random.default_rng(1).normal(size=(7, 12, 12, 3)).astype(np.float32)
