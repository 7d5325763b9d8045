"""Random networks of Keras, those of the deploy tests, as cases for every back end.

`tests/deploy/test_export_random.py` compares files of this generator with Keras, layer by layer,
and the kernels with a stock ONNX Runtime; here all other back ends have to make what these make.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tf_keras
from hypothesis import HealthCheck, Phase, given, settings

import larqlite as lq
import larqlite_runtime
from larqlite_runtime import NoNativeStepError
from larqlite_runtime.internal import WholeProgram, whole_program
from tests.deploy.inside_a_file import metadata
from tests.deploy.keras_and_file import with_random_weights
from tests.deploy.random_networks import networks

SAMPLES = 2
# Of the largest value, by which floats may be off where they are summed in another order.
OFF = 1e-5


@dataclass
class KerasCase:
    """A network, two samples, and what comes out.

    Attributes:
        seed: its number.
        content: the file.
        input: the name of its input.
        shape: of that, without samples.
        outputs: what is asked for: outputs, or, of every second network, the sums of packed
            layers instead.
        is_exact: whether these are whole numbers.
    """

    seed: int
    content: bytes
    input: str
    shape: tuple[int, ...]
    outputs: list[str]
    is_exact: bool

    @property
    def name(self) -> str:
        """A name of C."""
        return f"keras_{self.seed}"

    @property
    def said(self) -> str:
        """It, in a line."""
        return f"network {self.seed} of Keras"

    @property
    def off(self) -> float:
        """Of the largest value, by which it may be off."""
        return 0.0 if self.is_exact else OFF

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        """Two samples."""
        rng = np.random.default_rng(self.seed)
        values = rng.normal(size=(SAMPLES, *self.shape)).astype(np.float32)
        return {self.input: values}

    @cached_property
    def program(self) -> WholeProgram:
        """The same for machines without Python."""
        return whole_program(self.content, outputs=self.outputs)

    @cached_property
    def wanted(self) -> dict[str, np.ndarray]:
        """What the portable kernels make of them."""
        model = larqlite_runtime.load(
            self.content, isa="portable", engine="native", outputs=self.outputs
        )
        return model.run(self.inputs)


def drawn(count: int, folder: Path) -> list[KerasCase]:
    """The first networks that the kernels run from end to end.

    Args:
        count: of them.
        folder: for files.
    """
    tf_keras.utils.set_random_seed(0)
    found: list[KerasCase] = []

    # Some need an operation that has no step of the kernels.
    @settings(
        max_examples=2 * count + 10,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(network=networks())
    def collect(network):
        if len(found) == count:
            return
        path = folder / "model.onnx"
        model = with_random_weights(network)
        lq.deploy.export(model, path, verify=False)
        sums = [entry["accumulator"] for entry in metadata(path)["larqlite.layers"]]
        sums = [name for name in sums if name is not None]
        is_exact = bool(sums) and len(found) % 2 == 1
        case = KerasCase(
            len(found),
            path.read_bytes(),
            model.input_names[0],
            model.input_shape[1:],
            sums if is_exact else list(model.output_names),
            is_exact,
        )
        try:
            assert case.program.steps is not None
        except NoNativeStepError:
            return
        found.append(case)

    collect()
    assert len(found) == count
    return found
