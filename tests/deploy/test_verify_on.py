"""`lq.deploy.verify_on`: one network on several targets, each compared with Keras."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import tf_keras
from onnx import numpy_helper

import larqlite as lq
from larqlite import cli
from larqlite.deploy import targets
from larqlite.deploy.targets import _on_wasm, _target
from larqlite.deploy.targets._boards import BOARDS
from larqlite.errors import ArgumentError, UnsupportedModelError
from tests.common.programs import needs
from tests.deploy.keras_and_file import export
from tests.deploy.verified_network import network

# A sample: three convolutions read 6x6x32 signs each and sum 6x6 pixels of 32, 32 and 16
# channels, a dense layer reads 6x6x16 signs and sums 10 numbers.
INPUTS = 3 * 6 * 6 * 32 + 6 * 6 * 16
ALL = INPUTS + 6 * 6 * (32 + 32 + 16) + 10


@pytest.fixture(scope="module")
def model():
    """Read only."""
    return network()


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    """Read only."""
    path = tmp_path_factory.mktemp("targets") / "net.onnx"
    export(model, path)
    return path


@pytest.fixture(scope="module")
def report(model, file):
    """The targets that are built in, on two samples."""
    words = ["keras,onnxruntime", "native", "native:portable"]
    return lq.deploy.verify_on(model, words, file=file, samples=2)


def test_every_target_has_the_integers_labels_and_inputs_of_keras(report):
    assert report.ok
    assert [row.target for row in report.rows] == [
        "keras", "onnxruntime", "native", "native:portable",
    ]  # fmt: skip
    assert (report.samples, report.missing) == (2, {})
    for row in report.rows[1:]:
        assert row.integers == (2 * ALL,) * 2
        assert row.flips == (0, 2 * INPUTS)
        assert row.labels == (2, 2)
        assert 0 < row.largest < 1e-4
    assert report["native:portable"].verification.layers[0].path == "portable"


def test_every_target_says_what_it_costs(report, file):
    for row in report.rows:
        assert 0 < row.cost.milliseconds < 1000
    assert report["native"].cost.bytes == file.stat().st_size
    # Kernels, the bias of the stem, and scale and offset of four normalizations.
    kernels = 9 * (3 * 32 + 2 * 32 * 32 + 32 * 16) + 6 * 6 * 16 * 10
    floats = kernels + 32 + 2 * (32 + 32 + 16 + 10)
    assert report["keras"].cost.bytes == 4 * floats


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("c", marks=needs("cc")),
        # `notebooks/microcontroller.ipynb` does the same on a Cortex-M4, always.
        pytest.param(
            "c:cortex-m3",
            marks=[pytest.mark.slow, needs(*BOARDS["cortex-m3"].programs)],
        ),
        pytest.param("wasm", marks=needs("node", "web/larqlite.wasm")),
    ],
)
def test_other_machines_have_the_integers_labels_and_inputs_of_keras(
    model, file, target
):
    found = lq.deploy.verify_on(model, target, file=file, samples=2)
    (row,) = found.rows
    assert found.ok, str(found)
    assert row.integers == (2 * ALL, 2 * ALL)
    assert row.flips == (0, 2 * INPUTS)
    assert row.labels == (2, 2)
    emulated = ":" in target
    assert (row.cost.instructions is not None) == emulated
    assert (row.cost.milliseconds is None) == emulated
    # Packed weights of 1 bit, and float ones of 4 bytes.
    kernels = 9 * (2 * 32 * 32 + 32 * 16) // 8 + 6 * 6 * 16 * 10 // 8 + 4 * 9 * 3 * 32
    assert kernels < row.cost.bytes < kernels + 16_000


def test_the_table_the_page_of_a_notebook_and_json_have_the_same(report):
    text, html = str(report), report._repr_html_()
    for cell in (f"{2 * ALL:,} of {2 * ALL:,}", "2 of 2"):
        assert text.count(cell) == html.count(cell) == 3
    assert "the reference" in text
    data = json.loads(json.dumps(report.to_dict()))
    assert [row["integers"][0] for row in data["targets"][1:]] == [2 * ALL] * 3
    assert data["ok"] is True


def test_a_flipped_weight_is_wrong_on_every_target_and_the_layer_is_named(model, file):
    content = onnx.load(file)
    kernel = next(i for i in content.graph.initializer if i.name == "third/kernel")
    codes = numpy_helper.to_array(kernel).copy()
    codes[7] ^= 1
    kernel.CopyFrom(numpy_helper.from_array(codes, kernel.name))
    found = lq.deploy.verify_on(
        model, "onnxruntime,native", file=content.SerializeToString(), samples=1
    )
    assert not found.ok
    for row in found.rows:
        equal, values = row.integers
        # One weight reaches 36 pixels of one channel, but for those at the border.
        assert 25 <= values - equal <= 36
        assert row.verification.wrong == ("third",)
    assert "native: WRONG: third" in str(found)


@pytest.fixture
def registered():
    """Adds a target that runs the kernels, but for what a test changes."""

    def add(name, change=lambda run: run, **options):
        native = targets.known()["native"]

        def open_(net, variant):
            engine = native.open(net, "portable")
            whole, part = engine.whole, engine.part
            engine.whole = lambda: change(whole())
            engine.part = lambda *names: change(part(*names))
            return engine

        return targets.register(
            targets.Target(name, options.pop("open", open_), **options)
        )

    return add


def zeros(run):
    """What a stub gives out: arrays of the right shapes."""
    return lambda x: {name: 0 * array for name, array in run(x).items()}


def test_a_stub_is_found(model, file, registered):
    registered("stub", zeros)
    found = lq.deploy.verify_on(model, "native,stub", file=file, samples=1)
    assert [row.ok for row in found.rows] == [True, False]
    assert found["stub"].verification.wrong[1:] == ("first", "second", "third", "last")
    assert repr(found) == '<TargetsReport "net": 2 targets, wrong: stub>'


def test_what_does_not_run_there_is_refused_by_name(model, file, registered):
    def refuse(network, variant):
        raise UnsupportedModelError("no form for Softmax. Fix: leave it out")

    registered("board", open=refuse)
    found = lq.deploy.verify_on(model, "native,board", file=file, samples=1)
    assert (found.ok, found["board"].ok) == (False, False)
    assert "board: REFUSED: no form for Softmax" in str(found)


def test_a_cost_that_is_refused_leaves_what_was_compared(model, file):
    native = targets.known()["native"]

    def open_(network, variant):
        engine = native.open(network, "portable")

        def cost(inputs):
            raise UnsupportedModelError("board: stopped after 600 seconds. Fix: wait")

        engine.cost = cost
        return engine

    targets.register(targets.Target("board", open_))
    found = lq.deploy.verify_on(model, "board,native", file=file, samples=1)
    assert found.ok
    assert found["board"].integers == (ALL, ALL)
    assert found["board"].cost == targets.TargetCost()
    assert "what a sample takes is not known: board: stopped after 600" in str(found)
    assert found["native"].cost.milliseconds > 0


@needs("node", "web/larqlite.wasm")
def test_what_takes_too_long_is_refused_and_the_others_run(model, file, monkeypatch):
    monkeypatch.setattr(_on_wasm, "PATIENCE", 0.01)
    found = lq.deploy.verify_on(model, "wasm,native", file=file, samples=1)
    assert found["native"].ok
    assert "wasm: REFUSED: wasm: node was stopped after 0.01 seconds" in str(found)


@needs("node", "web/larqlite.wasm")
def test_node_is_given_its_flags(model, file, monkeypatch):
    """Without them its collector may wait for ever, which no test can wait for."""
    assert "--single-threaded" in _on_wasm.FLAGS
    monkeypatch.setattr(_on_wasm, "FLAGS", ("--no-such-flag",))
    found = lq.deploy.verify_on(model, "wasm,native", file=file, samples=1)
    assert "bad option: --no-such-flag" in found["wasm"].refused


@needs("node")
def test_a_folder_without_the_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(_on_wasm.VARIABLE, str(tmp_path))
    assert f"no larqlite-runtime-web in {tmp_path}: npm" in _on_wasm.missing()


@needs("cc")
def test_data_that_are_no_bytes_are_refused_by_the_c_that_takes_them(model, file):
    found = lq.deploy.verify_on(model, "c:pixels", file=file, samples=1)
    assert not found.ok
    assert '"image" takes whole numbers from 0 to 255, and the data has' in str(found)


@needs("cc")
def test_bytes_that_the_model_is_fed_scaled_are_given_to_the_c_as_they_are():
    """Keras computes on scale * p + offset, the C on p: the same integers and labels."""
    scale, offset = [1 / 64, 1 / 128, 1 / 32], [-1, -0.5, -2]
    tf_keras.utils.set_random_seed(1)
    model = tf_keras.Sequential(
        [
            tf_keras.Input((6, 6, 3), name="image"),
            tf_keras.layers.Conv2D(8, 3, use_bias=False),
            tf_keras.layers.BatchNormalization(),
            lq.layers.QuantConv2D(
                4, 3, input_quantizer="ste_sign", kernel_quantizer="ste_sign"
            ),
            tf_keras.layers.Flatten(),
        ]
    )
    p = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 3))
    # As others would do it: in float32, with a rounding of its own.
    x = p.astype(np.float32) * np.float32(scale) + np.float32(offset)
    for data, count in ((x, 3), (None, 4)):
        found = lq.deploy.verify_on(
            model, "native,c:pixels", data, pixels=(scale, offset)
        )
        assert found.ok, str(found)
        # 4 by 4 places of 8 signs, and 2 by 2 of 4 sums.
        assert found["c:pixels"].integers == (count * (128 + 16),) * 2
        assert found["c:pixels"].labels == (count, count)
    found = lq.deploy.verify_on(model, "c:pixels", x, pixels=(1 / 64, -1))
    assert not found.ok
    assert "the data is not 0.015625 * p + -1.0 of whole numbers p" in str(found)
    with pytest.raises(ArgumentError, match="and none of native, c does"):
        lq.deploy.verify_on(model, "native,c", x, pixels=(1, 0))
    for wrong in ((0, 1), (1,), "no", (float("nan"), 1)):
        with pytest.raises(ArgumentError, match="is no scale and offset"):
            lq.deploy.verify_on(model, "c:pixels", x, pixels=wrong)


def test_what_is_not_installed_is_named_and_the_others_run(model, file, registered):
    registered(
        "board", missing=lambda variant: "no arm-none-eabi-gcc: make devices-setup"
    )
    found = lq.deploy.verify_on(model, ["native,board"], file=file, samples=1)
    assert found.ok
    assert [row.target for row in found.rows] == ["native"]
    assert "board: NOT RUN: no arm-none-eabi-gcc: make devices-setup" in str(found)
    with pytest.raises(ArgumentError, match=r"none of the targets is installed.*gcc"):
        lq.deploy.verify_on(model, "board", file=file)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nativ", r'no target "nativ"\. Did you mean "native"'),
        ("native:avx", r'no variant "avx"\. Did you mean "avx2"'),
        ("keras:x", r'no variant "x"[\s\S]*Fix: keras\.'),
        (" , ", "no target is named"),
    ],
)
def test_a_mistyped_target_gets_the_nearest_one(model, words, said):
    with pytest.raises(ArgumentError, match=said):
        lq.deploy.verify_on(model, words)


def test_all_is_every_target_once():
    found = _target.chosen("native:portable,all,native", "here")
    assert list(found)[:3] == ["native:portable", "native", "keras"]
    assert found.keys() == {"native:portable", *targets.known()}


def test_the_command_prints_one_table_and_ends_with_1_if_a_target_departs(
    model, tmp_path, monkeypatch, capsys, registered
):
    monkeypatch.chdir(tmp_path)
    model.save("net.keras")
    cli.main(
        [
            "verify",
            "net.keras",
            "--on",
            "keras,native",
            "native:portable",
            "--samples",
            "1",
        ]
    )
    printed = capsys.readouterr().out
    assert "net: Keras against its file (1 samples)" in printed
    assert f"{ALL:,} of {ALL:,}" in printed
    registered("stub", zeros)
    with pytest.raises(SystemExit) as ended:
        cli.main(["verify", "net.keras", "--on", "stub", "--samples", "1", "--json"])
    assert ended.value.code == 1
    data = json.loads(capsys.readouterr().out)
    assert data["targets"][0]["verification"]["wrong"][1:3] == ["first", "second"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("verify net.keras", "no word says which FILE"),
        (
            "verify net.keras --on native --no-stock",
            "--no-stock says nothing where --on",
        ),
        ("verify net.keras --on native --precision bf16", "--precision says nothing"),
    ],
)
def test_words_that_do_not_go_together_are_refused(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(words.split())
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
