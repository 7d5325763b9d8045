"""LowBitLog: what TensorBoard's own reader finds in the files, and what is refused."""

import logging

import numpy as np
import pytest
import tf_keras
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

import larqlite as lq
from larqlite.callbacks import LowBitLog
from larqlite.errors import ArgumentError

X, Y = np.ones((8, 4), np.float32), np.ones((8, 3), np.float32)


def network(metrics=("flip_ratio",), kernel_quantizer="ste_sign", **changes):
    """Two binary layers, one of them in a model of its own, and a float one."""
    changes = {"kernel_constraint": "weight_clip", "use_bias": False, **changes}
    with lq.context.metrics_scope(list(metrics)):
        binary = {"kernel_quantizer": kernel_quantizer, **changes}
        block = tf_keras.Sequential(
            [tf_keras.Input((4,)), lq.layers.QuantDense(6, name="d", **binary)],
            name="block",
        )
        model = tf_keras.Sequential(
            [
                tf_keras.Input((4,)),
                block,
                lq.layers.QuantDense(5, name="d", **binary),
                tf_keras.layers.Dense(3, name="out"),
            ]
        )
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def flipping(model):
    """A callback that turns some signs of both kernels over after every batch."""

    def turn(batch, logs):
        for layer, count in ((model.layers[0].layers[0], 6), (model.layers[1], 15)):
            values = layer.latent_weight().numpy().ravel()
            values[:count] *= -1
            layer.set_weights([values.reshape(layer.kernel.shape)])

    return tf_keras.callbacks.LambdaCallback(on_train_batch_end=turn)


def read(folder):
    reader = EventAccumulator(str(folder / "low_bit"), size_guidance={"tensors": 0})
    reader.Reload()
    return reader


def values(reader, tag):
    return {e.step: make_ndarray(e.tensor_proto) for e in reader.Tensors(tag)}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder and the model of two epochs with validation, without a gradient."""
    folder = tmp_path_factory.mktemp("logs")
    model = network()
    model.optimizer.learning_rate = 0.0
    model.layers[1].set_weights([np.linspace(-1, 1, 30).reshape(6, 5)])
    model.fit(
        X, Y, batch_size=2, epochs=2, verbose=0, validation_data=(X, Y),
        callbacks=[LowBitLog(folder), flipping(model)],
    )  # fmt: skip
    return folder, model


def test_flip_ratios_are_those_of_training_by_the_path_of_the_layer(written):
    reader = read(written[0])
    # 6 of 24 and 15 of 30 signs turn between two steps, whatever validation resets.
    for path, share in (("block/d", 6 / 24), ("d", 15 / 30)):
        found = values(reader, f"flip_ratio/{path}")
        assert list(found) == [0, 1]
        np.testing.assert_allclose(list(found.values()), share, rtol=1e-6)


def test_saturation_is_the_share_of_weights_at_the_clip(written):
    found = values(read(written[0]), "saturation/d/kernel")
    assert [float(v) for v in found.values()] == pytest.approx([2 / 30] * 2)


def test_latent_histograms_hold_every_weight(written):
    folder, model = written
    latent = model.layers[1].latent_weight().numpy()
    # Rows of left edge, right edge, count.
    rows = values(read(folder), "latent/d/kernel")[1]
    assert rows[:, 2].sum() == 30
    assert rows[0, 0] == latent.min()
    assert rows[-1, 1] == latent.max()
    counts, _ = np.histogram(latent, bins=np.append(rows[:, 0], rows[-1, 1]))
    np.testing.assert_array_equal(counts, rows[:, 2])


def test_bits_and_bytes_are_those_of_the_packed_file(written):
    folder, model = written
    reader = read(folder)
    bits = {path: float(values(reader, f"bits/{path}")[1]) for path in ("block/d", "d")}
    assert bits == {"block/d": 1.0, "d": 1.0}
    assert float(values(reader, "bits/out")[1]) == 32
    # 24 and 30 bits, each tensor in whole bytes; 5 * 3 + 3 floats.
    assert float(values(reader, "packed_bytes")[0]) == 3 + 4 + 4 * 18
    report = lq.deploy.export(model, folder / "model.onnx", verify=False)
    assert report.weight_bytes == 3 + 4 + 4 * 18


def test_every_so_many_epochs_without_histograms(tmp_path):
    model = network()
    log = LowBitLog(tmp_path, histograms=False, every=2)
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[log])
    reader = read(tmp_path)
    assert list(values(reader, "packed_bytes")) == [1]
    assert not [tag for tag in reader.Tags()["tensors"] if tag.startswith("latent/")]


def test_validation_by_another_callback_costs_no_flip_ratio(tmp_path):
    with lq.context.metrics_scope(["flip_ratio"]):
        layer = lq.layers.QuantDense(
            3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip", name="one"
        )
    model = tf_keras.Sequential([tf_keras.Input((4,)), layer])
    model.compile("sgd", "mse", run_eagerly=True)
    turn = tf_keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: layer.kernel.assign(-layer.kernel),
        on_epoch_end=lambda epoch, logs: model.evaluate(X, Y, verbose=0),
    )
    model.optimizer.learning_rate = 0.0
    model.fit(
        X, Y, batch_size=2, verbose=0, callbacks=[turn, LowBitLog(tmp_path)]
    )  # fmt: skip
    assert float(values(read(tmp_path), "flip_ratio/one")[0]) == 1


def test_a_model_without_flip_ratios_is_told_how(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "larqlite.callbacks"):
        network(metrics=()).fit(X, Y, verbose=0, callbacks=[LowBitLog(tmp_path)])
    assert "metrics_scope" in caplog.text
    assert not [t for t in read(tmp_path).Tags()["tensors"] if "flip_ratio" in t]


def test_the_clip_is_that_of_the_constraint_then_of_the_quantizer():
    layers = {
        0.5: {"kernel_constraint": lq.constraints.WeightClip(0.5)},
        2.0: {"kernel_quantizer": lq.quantizers.SteSign(clip_value=2.0)},
        None: {"kernel_quantizer": lq.quantizers.NoOp(precision=1)},
    }
    for clip, changes in layers.items():
        made = {"kernel_quantizer": "ste_sign", "use_bias": False, **changes}
        layer = lq.layers.QuantDense(1, name="d", **made)
        layer.build((None, 4))
        layer.set_weights([np.array([[0.4], [-0.5], [-2.0], [3.0]])])
        assert layer.clip_of() == clip
        share = {0.5: 0.75, 2.0: 0.5}.get(clip)
        expected = {} if share is None else {"d/kernel": share}
        assert lq.models.saturation(layer) == expected


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"log_dir": 3}, "log_dir=3 is a int"),
        ({"log_dir": "logs", "every": 0}, "every=0"),
        ({"log_dir": "logs", "every": True}, "every=True"),
    ],
)
def test_what_cannot_be_is_refused_at_once(arguments, says):
    with pytest.raises(ArgumentError, match=f"(?s){says}.*Fix:"):
        LowBitLog(**arguments)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "low_bit").write_text("mine")
    with pytest.raises(ArgumentError, match=r"(?s)low_bit is a file.*Fix:"):
        LowBitLog(tmp_path)
    with pytest.raises(ArgumentError, match=r"(?s)low_bit is a file.*Fix:"):
        LowBitLog(tmp_path / "low_bit")
    assert (tmp_path / "low_bit").read_text() == "mine"


def test_a_model_that_fit_builds_is_logged(tmp_path):
    layer = lq.layers.QuantDense(
        3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
    )
    model = tf_keras.Sequential([layer])
    model.compile("sgd", "mse", run_eagerly=True)
    x = np.ones((4, 4), np.float32)
    log = lq.callbacks.LowBitLog(tmp_path)
    model.fit(x, x[:, :3], verbose=0, callbacks=[log])
    assert list(tmp_path.rglob("events*"))
