"""`lq.deploy.to_c`: the C of whole networks gives what the runtime gives, and files are safe."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
import tf_keras

import larqlite as lq
import larqlite_runtime
from tests.devices.compilers import has, shared

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
needs_gcc = pytest.mark.skipif(not has("gcc"), reason="gcc is not installed")


def run(folder: Path, name: str, x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The outputs of the C for each image."""
    library = shared(folder / f"{name}.c")
    found = np.zeros_like(like)
    for image, out in zip(np.ascontiguousarray(x), found, strict=True):
        getattr(library, f"{name}_run")(
            ctypes.c_void_p(image.ctypes.data), ctypes.c_void_p(out.ctypes.data)
        )
    return found


@needs_gcc
@pytest.mark.parametrize(
    "name", ["codes", "integers", "kbit", "residual", "tables", "ternary"]
)
def test_the_c_of_a_file_gives_what_the_runtime_gives(name, tmp_path) -> None:
    path = GOLDEN / f"deploy_{name}.onnx"
    lq.deploy.to_c(path, tmp_path, name="net")
    model = larqlite_runtime.load(path, threads=1, isa="portable")
    shape = (3, *model.inputs[0].shape[1:])
    x = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    expected = model(x)
    np.testing.assert_allclose(run(tmp_path, "net", x, expected), expected, 1e-5, 1e-6)


def test_files_of_a_users_own_are_not_written_over(tmp_path) -> None:
    own = tmp_path / "net.c"
    own.write_text("int main(void) { return 0; }\n")
    path = GOLDEN / "deploy_kbit.onnx"
    with pytest.raises(lq.errors.ArgumentError, match=r"net\.c.*is no \.c file"):
        lq.deploy.to_c(path, tmp_path, name="net")
    assert own.read_text().startswith("int main")
    assert not (tmp_path / "net.h").exists()
    own.unlink()
    lq.deploy.to_c(path, tmp_path, name="net")
    lq.deploy.to_c(path, tmp_path, name="net")  # its own


@pytest.mark.parametrize("name", ["2nd", "a b", "int", ""])
def test_names_that_c_does_not_have_are_refused(name, tmp_path) -> None:
    with pytest.raises(lq.errors.ArgumentError, match="is no name of C"):
        lq.deploy.to_c(GOLDEN / "deploy_kbit.onnx", tmp_path, name=name)


def test_a_layer_without_c_is_named(tmp_path) -> None:
    inputs = tf_keras.Input((4, 4, 3))
    x = tf_keras.layers.Lambda(lambda x: x)(inputs)
    with pytest.raises(lq.errors.UnsupportedLayerError):
        lq.deploy.to_c(tf_keras.Model(inputs, x), tmp_path)
    x = tf_keras.layers.Activation("softsign")(inputs)
    with pytest.raises(lq.errors.UnsupportedModelError, match="Softsign"):
        lq.deploy.to_c(tf_keras.Model(inputs, x), tmp_path)
    assert not list(tmp_path.iterdir())
