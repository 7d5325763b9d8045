"""`lq.deploy.to_c`: the C of whole networks gives what the runtime gives, and files are safe."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest
import tf_keras

import larqlite as lq
import larqlite_runtime
from larqlite import cli
from larqlite.deploy.targets.c._source import MARK
from larqlite.deploy.targets.c._text import WIDTH, table
from larqlite.deploy.targets.c._to_c import write_files
from larqlite_runtime.internal import whole_program
from tests.devices.compilers import has, shared
from tests.runtime.plans import run_whole
from tests.runtime.pooled import pooled_network

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
    "name",
    ["codes", "integers", "kbit", "residual", "scaled", "tables", "ternary"],
)
def test_the_c_of_a_file_gives_what_the_runtime_gives(name, tmp_path) -> None:
    path = GOLDEN / f"deploy_{name}.onnx"
    lq.deploy.to_c(path, tmp_path, name="net")
    model = larqlite_runtime.load(path, threads=1, isa="portable")
    shape = (3, *model.inputs[0].shape[1:])
    x = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    expected = model(x)
    np.testing.assert_allclose(run(tmp_path, "net", x, expected), expected, 1e-5, 1e-6)


@needs_gcc
def test_the_self_test_knows_a_wrong_weight_and_a_fused_product(tmp_path) -> None:
    lq.deploy.to_c(GOLDEN / "deploy_residual.onnx", tmp_path, name="net")
    source = tmp_path / "net.c"
    # Where nothing forbids it, gcc fuses; the file does.
    for flags in ((), ("-std=gnu11", "-march=native", "-ffp-contract=fast")):
        assert shared(source, "gcc", *flags).net_self_test() == 0
    text = source.read_text()
    (tmp_path / "fused.c").write_text(text.replace("#pragma GCC optimize", "//"))
    flags = ("-Wno-error", "-Wno-pedantic", "-std=gnu11", "-mfma", "-ffp-contract=fast")
    if "fma" in Path("/proc/cpuinfo").read_text():
        assert shared(tmp_path / "fused.c", "gcc", *flags).net_self_test() == 1
    weights = re.search(r"static const float conv2d\w*_weights\[\d+\] = {\n", text)
    wrong = text[: weights.end()] + "9.0F + " + text[weights.end() :].lstrip()
    (tmp_path / "wrong.c").write_text(wrong)
    assert shared(tmp_path / "wrong.c").net_self_test() == 102  # the step


def test_tables_hold_every_float_in_lines_that_are_not_long() -> None:
    rng = np.random.default_rng(0)
    values = (10.0 ** rng.uniform(-44, 38, (3, 500))).astype(np.float32)
    values[0, :4] = 0, -0.0, 16777216, -1
    text = table("reals", values, "float", "said")
    assert max(map(len, text.splitlines())) <= WIDTH
    found = np.array(re.findall(r"([-+.e\d]+)F", text), np.float32)
    np.testing.assert_array_equal(found.view(np.uint32), values.view(np.uint32).ravel())


@needs_gcc
def test_unsafe_floats_are_no_c(tmp_path) -> None:
    lq.deploy.to_c(GOLDEN / "deploy_kbit.onnx", tmp_path, name="net")
    with pytest.raises(AssertionError, match="compile without -ffast-math"):
        shared(tmp_path / "net.c", "gcc", "-ffast-math")


@needs_gcc
def test_images_of_bytes(tmp_path) -> None:
    """A first layer of integers: sums are exact, so that packed layers see the same."""
    inputs = tf_keras.Input((6, 5, 3))
    x = tf_keras.layers.Rescaling(1 / 127.5, -1)(inputs)
    x = tf_keras.layers.Conv2D(32, 3, padding="same", use_bias=False)(x)
    x = tf_keras.layers.BatchNormalization()(x)
    x = lq.layers.QuantConv2D(
        8, 3, input_quantizer="ste_sign", kernel_quantizer="ste_sign", use_bias=False
    )(x)
    model = tf_keras.Model(inputs, tf_keras.layers.Flatten()(x))
    lq.deploy.to_c(model, tmp_path, name="net", pixels=True)
    assert (
        "net_run(const uint8_t *input, float *output)"
        in (tmp_path / "net.h").read_text()
    )
    pixels = np.random.default_rng(1).integers(0, 256, (4, 6, 5, 3)).astype(np.uint8)
    expected = model(pixels.astype(np.float32)).numpy()
    np.testing.assert_array_equal(run(tmp_path, "net", pixels, expected), expected)
    assert shared(tmp_path / "net.c").net_self_test() == 0


@needs_gcc
@pytest.mark.parametrize(("window", "channels"), [((2, 2), 40), ((3, 4), 64)])
def test_bits_that_are_pooled_as_they_are_made_give_the_same(
    window, channels, tmp_path
) -> None:
    """Windows that leave pixels over, and channels whose least values are taken."""
    path = tmp_path / "net.onnx"
    path.write_bytes(pooled_network(window, channels=channels).SerializeToString())
    lq.deploy.to_c(path, tmp_path, name="net")
    library = shared(tmp_path / "net.c")
    assert library.net_self_test() == 0
    image = np.random.default_rng(1).normal(size=(14, 18, 3)).round(1)
    wanted = run_whole(whole_program(path), image)
    found = {name: np.zeros_like(array) for name, array in wanted.items()}
    image = image.astype(np.float32)
    library.net_run(
        *(ctypes.c_void_p(array.ctypes.data) for array in (image, *found.values()))
    )
    np.testing.assert_array_equal(found["c2"], wanted["c2"])
    np.testing.assert_allclose(found["y"], wanted["y"], rtol=1e-6)


@needs_gcc
@pytest.mark.parametrize(("window", "channels"), [((2, 2), 40), ((3, 4), 64)])
def test_bits_of_bytes_are_pooled_too(window, channels, tmp_path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(pooled_network(window, channels=channels).SerializeToString())
    lq.deploy.to_c(path, tmp_path, name="net", pixels=True)
    library = shared(tmp_path / "net.c")
    pixels = np.random.default_rng(1).integers(0, 256, (14, 18, 3)).astype(np.uint8)
    wanted = run_whole(whole_program(path), pixels.astype(np.float32))
    found = {name: np.zeros_like(array) for name, array in wanted.items()}
    library.net_run(
        *(ctypes.c_void_p(array.ctypes.data) for array in (pixels, *found.values()))
    )
    np.testing.assert_array_equal(found["c2"], wanted["c2"])


@needs_gcc
def test_samples_say_which_inputs_are_listed(tmp_path, monkeypatch) -> None:
    """The fewer of -1 and +1; what is computed stays the same."""
    given = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    layer = lq.layers.QuantConv2D(
        40, 3, padding="same", pad_values=0.0, kernel_constraint="weight_clip", **given
    )
    model = tf_keras.Sequential([tf_keras.Input((5, 6, 33)), layer])
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(3, 5, 6, 33)).astype(np.float32)
    wanted = model(mixed).numpy()
    for name, by in (("more_are_minus", -2), ("more_are_plus", 2)):
        lq.deploy.to_c(model, tmp_path, name=name, samples=mixed + np.float32(by))
        text = (tmp_path / f"{name}.c").read_text()
        assert ("list_zeros(" in text) == (by < 0)
        library = shared(tmp_path / f"{name}.c")
        run = getattr(library, f"{name}_run")
        for sample, expected in zip(mixed, wanted, strict=True):
            found = np.zeros_like(expected)
            run(*(ctypes.c_void_p(array.ctypes.data) for array in (sample, found)))
            np.testing.assert_array_equal(found, expected)
    with pytest.raises(lq.errors.ArgumentError, match=r"Fix: \(samples, 5, 6, 33\)"):
        lq.deploy.to_c(model, tmp_path, samples=mixed[0])
    # The command writes the same, of a model and of its file.
    model.save(tmp_path / "net.keras")
    lq.deploy.export(model, tmp_path / "net.onnx", verify=False)
    np.savez(tmp_path / "minus.npz", x=mixed - 2, y=np.zeros(3))
    expected = (tmp_path / "more_are_minus.c").read_text()
    for path in ("net.keras", "net.onnx"):
        words = f"export {path} made --to c --name more_are_minus --samples minus.npz"
        monkeypatch.chdir(tmp_path)
        cli.main(words.split())
        assert (tmp_path / "made" / "more_are_minus.c").read_text() == expected


def test_samples_that_are_no_bytes_are_refused_where_bytes_go_in(tmp_path) -> None:
    """They would all be 0, and say nothing of the layers behind."""
    path = tmp_path / "net.onnx"
    path.write_bytes(pooled_network((2, 2), channels=3).SerializeToString())
    shape = larqlite_runtime.load(path).inputs[0].shape[1:]
    scaled = np.full((2, *shape), 0.5, np.float32)
    with pytest.raises(
        lq.errors.ArgumentError, match="takes whole numbers from 0 to 255"
    ):
        lq.deploy.to_c(path, tmp_path / "made", pixels=True, samples=scaled)
    assert not (tmp_path / "made").exists()
    lq.deploy.to_c(path, tmp_path / "made", pixels=True, samples=scaled * 510)


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
    words = tf_keras.Input((5,))
    x = tf_keras.layers.Embedding(7, 3, name="words")(words)
    with pytest.raises(lq.errors.UnsupportedModelError, match=r"words.*Gather"):
        lq.deploy.to_c(tf_keras.Model(words, x), tmp_path)
    assert not list(tmp_path.iterdir())


def test_files_are_written_all_or_none(tmp_path):
    old, new = tmp_path / "net.c", tmp_path / "net.h"
    text = f"/* {MARK} net.c */\n"
    write_files({old: text}, "to_c")
    with pytest.raises(UnicodeEncodeError):
        write_files({old: text + "int x;\n", new: "\u00e9"}, "to_c")
    assert old.read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["net.c"]
