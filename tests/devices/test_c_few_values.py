"""Float layers whose weights have few values: packed in flash, and the same bits come out.

They are compared with floats in C, which `test_c_steps.py` compares with NumPy; a network with such
layers (`few_values` of `networks.py`) is compared with the native kernels, and on all boards.
"""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite_runtime._program import StepKind
from larqlite_runtime.internal import LANES
from tests.common.programs import needs
from tests.devices.c_steps import c_steps, without_halves
from tests.devices.compilers import shared
from tests.runtime.steps import Case, random_case

EACH = 6
VALUES = {
    "signs": (-1.0, 1.0),
    "levels": (-0.75, 0.0, -0.0, 1.5),
    "16 levels": tuple(np.linspace(-1, 1, 15)),
    "300 levels": tuple(np.linspace(-1, 1, 300)),
}


def of_values(seed: int, kind: StepKind, values, scaled: bool) -> Case:
    """A step of floats with such weights; with a factor of its own for each channel."""
    case = without_halves(random_case(seed, kind))
    rng = np.random.default_rng(seed)
    number = case.step.weights
    weights = rng.choice(np.array(values, np.float32), case.buffers[number].size)
    if scaled:
        is_conv = kind == StepKind.CONV_FLOAT
        channels = LANES if is_conv else case.step.in_channels
        factors = rng.normal(size=channels).astype(np.float32)
        weights = (weights.reshape(-1, channels) * factors).reshape(-1)
    buffers = [array.copy() for array in case.buffers]
    buffers[number] = weights
    return Case(case.step, buffers, 1)


@needs("gcc")
@pytest.mark.parametrize("kind", [StepKind.CONV_FLOAT, StepKind.DEPTHWISE_FLOAT])
def test_packed_weights_give_the_bits_of_floats(kind, tmp_path) -> None:
    cases, names = [], []
    for number, (name, values) in enumerate(VALUES.items()):
        # 300 values of all channels are no more than 256 of each.
        scales = (False, True) if len(values) < 16 else (False,)
        for seed in range(EACH // len(scales)):
            for scaled in scales:
                case = of_values(100 * number + seed, kind, values, scaled)
                cases += [case, case]
                names += ["sums", name.split()[-1]]
    made = c_steps(cases, names)
    for name in set(names):  # it was taken, not passed over
        assert f"; {name}." in made.text
    path = tmp_path / "steps.c"
    path.write_text(made.text)
    library = shared(path)
    library.steps_arena.restype = ctypes.POINTER(ctypes.c_uint32)
    arena = np.ctypeslib.as_array(library.steps_arena(), made.arena.shape)
    arena[:] = made.arena
    library.steps_run()
    for number in range(0, len(cases), 2):
        plain, packed = made.places[number : number + 2]
        for buffer, place in packed.items():
            said = f"{names[number + 1]}: {cases[number].step}"
            np.testing.assert_array_equal(arena[place], arena[plain[buffer]], said)


@pytest.mark.parametrize(
    ("quantizer", "bits"),
    [
        ("ste_sign", 1),
        ("magnitude_aware_sign", 1),
        ("ste_tern", 2),
        (lq.quantizers.DoReFa(4, mode="weights"), 4),
    ],
)
def test_a_kernel_behind_no_input_quantizer_stays_packed(
    quantizer, bits, tmp_path
) -> None:
    model = tf_keras.Sequential(
        [
            tf_keras.Input((320,)),
            lq.layers.QuantDense(48, kernel_quantizer=quantizer, use_bias=False),
        ]
    )
    report = lq.deploy.to_c(model, tmp_path, name="net")
    # The numbers, a value each, and a scale for each channel.
    assert report.table_bytes <= 320 * 48 * bits // 8 + 4 * 2**bits + 4 * 48


def test_weights_of_many_values_stay_floats(tmp_path) -> None:
    layer = tf_keras.layers.Dense(7)
    model = tf_keras.Sequential([tf_keras.Input((30,)), layer])
    report = lq.deploy.to_c(model, tmp_path, name="net")
    assert [row.algorithm for row in report.layers] == ["sums"]
