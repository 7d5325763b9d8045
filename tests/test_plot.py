"""Pictures show what the quantizers, weights and curves really are."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from matplotlib.figure import Figure

import larqlite as lq
from larqlite import plot
from larqlite.errors import (
    ArgumentError,
    KerasVersionError,
    UnbuiltModelError,
    UnknownQuantizerError,
)

CURVES = {
    "loss": [2.0, 1.0, 0.5],
    "accuracy": [0.2, 0.5, 0.7],
    "flip_ratio/conv": [0.1, 0.01, 0.001],
    "val_loss": [2.1, 1.2, 0.8],
    "val_accuracy": [0.2, 0.4, 0.6],
    "flip_ratio/dense": [0.2, 0.02, 0.002],
    "val_flip_ratio/dense": [0.0, 0.0, 0.0],
    "lr": [1e-3, 1e-3, 1e-4],
}
GROUPS = {
    "loss": ["training", "validation"],
    "accuracy": ["training", "validation"],
    "flip ratio": ["conv", "dense"],
    "learning rate": ["training"],
}


def drawn_line(ax, label=None):
    lines = [line for line in ax.lines if label in (None, line.get_label())]
    return lines[-1].get_xydata().T


def pictures(figure):
    return {
        ax.get_title(): {
            line.get_label(): line.get_ydata().tolist() for line in ax.lines
        }
        for ax in figure.axes
    }


class TestQuantizer:
    def test_the_forward_curve_of_ste_sign_is_the_sign(self):
        x, y = drawn_line(plot.quantizer("ste_sign").axes[0], "q(x)")
        np.testing.assert_array_equal(y, np.where(x < 0, -1, 1))

    def test_the_pseudo_gradient_of_approx_sign_is_the_triangle_of_bi_real_net(self):
        x, gradient = drawn_line(plot.quantizer("approx_sign").axes[1])
        np.testing.assert_allclose(
            gradient, np.maximum(2 - 2 * np.abs(x), 0), atol=1e-6
        )

    def test_the_pseudo_gradient_of_swish_sign_follows_its_beta(self):
        figure = plot.quantizer(lq.quantizers.SwishSign(beta=3.0), points=1001)
        x, gradient = drawn_line(figure.axes[1])
        assert gradient.max() == pytest.approx(3.0, abs=1e-5)
        b = 3.0 * x
        np.testing.assert_allclose(
            gradient, 3 * (2 - b * np.tanh(b / 2)) / (1 + np.cosh(b)), atol=1e-5
        )

    def test_a_quantizer_of_ones_own_is_drawn_by_its_name(self):
        @lq.quantizers.register("plot_test_half")
        class PlotTestHalf(lq.quantizers.Quantizer):
            precision = 3

            def forward(self, x):
                return tf.round(2 * x) / 2

            def derivative(self, x):
                return 1 + x * x

        figure = plot.quantizer("plot_test_half", low=-1, high=1, points=9)
        assert figure.axes[0].get_title() == "plot_test_half (3 bits)"
        x, gradient = drawn_line(figure.axes[1])
        np.testing.assert_allclose(x, np.linspace(-1, 1, 9))
        np.testing.assert_allclose(gradient, 1 + x * x, rtol=1e-6)

    def test_a_plain_function_without_gradient_is_drawn_as_zero(self):
        figure = plot.quantizer(tf.math.ceil)
        assert figure.axes[0].get_title() == "ceil"
        assert not drawn_line(figure.axes[1])[1].any()

    @pytest.mark.parametrize("name", lq.quantizers.names())
    def test_every_registered_name_can_be_drawn(self, name):
        x, y = drawn_line(plot.quantizer(name).axes[0], "q(x)")
        assert len(x) == 1001
        assert np.isfinite(y).all()

    def test_an_unknown_name_is_answered_with_the_near_one(self):
        with pytest.raises(UnknownQuantizerError, match="ste_sign"):
            plot.quantizer("ste_sing")

    @pytest.mark.parametrize(
        "arguments",
        [
            {"low": 1, "high": 1},
            {"points": 1},
            {"high": float("inf")},
            {"identifier": None},
        ],
    )
    def test_what_cannot_be_drawn_is_refused(self, arguments):
        with pytest.raises(ArgumentError, match="Fix:"):
            plot.quantizer(**{"identifier": "ste_sign", **arguments})


class TestWeights:
    @pytest.fixture
    def model(self):
        binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
        inner = tf_keras.Sequential(
            [tf_keras.Input((4,)), lq.layers.QuantDense(5, name="inside", **binary)],
            name="nested",
        )
        return tf_keras.Sequential(
            [
                tf_keras.Input((6, 6, 1)),
                lq.layers.QuantSeparableConv2D(
                    4,
                    3,
                    depthwise_quantizer="ste_tern",
                    pointwise_quantizer="ste_sign",
                    depthwise_constraint="weight_clip",
                    pointwise_constraint="weight_clip",
                    name="separable",
                ),
                tf_keras.layers.GlobalAveragePooling2D(),
                inner,
                tf_keras.layers.Dense(2, name="plain"),
            ]
        )

    def test_every_quantized_kernel_has_a_histogram_and_no_other_weight(self, model):
        titles = [ax.get_title() for ax in plot.weights(model).axes]
        assert titles == [
            "separable/depthwise_kernel: ste_tern, 9 weights",
            "separable/pointwise_kernel: ste_sign, 4 weights",
            "nested/inside/kernel: ste_sign, 20 weights",
        ]

    def test_the_bars_count_the_latent_weights_also_inside_a_quantized_scope(
        self, model
    ):
        latent = np.linspace(-0.9, 0.9, 20).reshape(4, 5)
        model.get_layer("nested").get_layer("inside").kernel.assign(latent)
        with lq.context.quantized_scope(True):
            ax = plot.weights(model, bins=7).axes[-1]
        counts, _ = np.histogram(latent.astype("float32"), bins=7)
        assert [bar.get_height() for bar in ax.patches] == counts.tolist()

    def test_a_shared_layer_is_drawn_once(self):
        layer = lq.layers.QuantDense(3, kernel_quantizer="ste_tern")
        x = tf_keras.Input((3,))
        model = tf_keras.Model(x, layer(layer(x)))
        assert len(plot.weights(model).axes) == 1

    def test_a_model_without_quantized_kernels_is_refused_by_name(self):
        model = tf_keras.Sequential(
            [tf_keras.Input((2,)), tf_keras.layers.Dense(1)], name="all_float"
        )
        with pytest.raises(ArgumentError, match='"all_float"'):
            plot.weights(model)

    def test_an_unbuilt_model_is_refused(self):
        model = tf_keras.Sequential(
            [lq.layers.QuantDense(2, kernel_quantizer="ste_tern")]
        )
        with pytest.raises(UnbuiltModelError, match=r"model\.build"):
            plot.weights(model)

    def test_a_keras_3_model_is_named_as_such(self):
        import keras

        with pytest.raises(KerasVersionError, match="Keras 3"):
            plot.weights(keras.Sequential([keras.layers.Dense(1)]))


class TestHistory:
    def test_curves_are_grouped_with_their_validation_twins_and_flip_ratios(self):
        figure = plot.history(CURVES)
        assert [ax.get_title() for ax in figure.axes] == list(GROUPS)
        assert {k: list(v) for k, v in pictures(figure).items()} == GROUPS
        assert pictures(figure)["flip ratio"]["dense"] == [0.2, 0.02, 0.002]
        assert drawn_line(figure.axes[0])[0].tolist() == [1, 2, 3]

    def test_a_keras_history_its_csv_log_and_its_json_give_one_picture(self, tmp_path):
        model = tf_keras.Sequential([tf_keras.Input((2,)), tf_keras.layers.Dense(1)])
        model.compile("sgd", "mse", metrics=["mae"])
        log = tmp_path / "log.csv"
        history = model.fit(
            np.ones((4, 2)),
            np.ones((4, 1)),
            epochs=3,
            verbose=0,
            callbacks=[tf_keras.callbacks.CSVLogger(log)],
        )
        dump = tmp_path / "log.json"
        dump.write_text(json.dumps(history.history))
        expected = pictures(plot.history(history))
        assert set(expected) == {"loss", "mae"}
        assert pictures(plot.history(dump)) == expected
        assert pictures(plot.history(str(log))) == expected

    def test_a_missing_value_of_csv_logger_leaves_a_gap(self, tmp_path):
        log = tmp_path / "log.csv"
        log.write_text("epoch,loss,val_loss\n0,1.0,NA\n1,0.5,0.7\n")
        curve = pictures(plot.history(log))["loss"]["validation"]
        assert np.isnan(curve[0])
        assert curve[1] == 0.7

    def test_a_run_that_was_resumed_keeps_its_epoch_numbers(self, tmp_path):
        log = tmp_path / "log.csv"
        with log.open("w", newline="") as stream:
            csv.writer(stream).writerows([["epoch", "loss"], [5, 0.3], [6, 0.2]])
        assert drawn_line(plot.history(log).axes[0])[0].tolist() == [6, 7]

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("log.txt", "epoch,loss", r'cannot read "\.txt" files'),
            ("log.json", "{", "not a .json file"),
            ("log.json", "[1, 2]", "holds no curves"),
            ("log.json", '{"loss": 3}', '"loss" is not a list of numbers'),
            ("log.csv", "epoch,loss\n0,cat\n", '"loss" is not a list of numbers'),
            ("log.csv", "epoch,loss\n0\n", "different numbers of columns"),
            ("log.csv", "", "no curve"),
            ("log.csv", "epoch,loss\n", "no curve"),
            ("log.csv", "\x89PNG\xff", "not a .csv file"),
        ],
    )
    def test_a_file_that_holds_no_curves_is_refused_by_name(
        self, tmp_path, name, content, message
    ):
        file = tmp_path / name
        file.write_bytes(content.encode("latin-1"))
        with pytest.raises(ArgumentError, match=message) as refusal:
            plot.history(file)
        assert name in str(refusal.value)

    def test_a_missing_file_is_refused_by_name(self):
        with pytest.raises(ArgumentError, match=r'"no\.csv": there is no such file'):
            plot.history("no.csv")

    def test_curves_of_different_lengths_are_refused(self):
        with pytest.raises(ArgumentError, match=r"'loss': 2.*'accuracy': 1"):
            plot.history({"loss": [1, 2], "accuracy": [1]})

    def test_what_is_no_history_is_refused(self):
        with pytest.raises(ArgumentError, match="got int"):
            plot.history(3)


class TestFigures:
    def test_axes_of_the_user_are_drawn_into(self):
        figure = Figure()
        axes = figure.subplots(1, 2)
        assert plot.quantizer("ste_sign", axes=axes) is figure
        assert axes[1].get_title() == "pseudo-gradient"

    def test_the_wrong_number_of_axes_is_refused_with_the_right_one(self):
        with pytest.raises(ArgumentError, match=r"4 axes are needed, but 1 were given"):
            plot.history(CURVES, axes=[Figure().subplots()])

    @pytest.mark.parametrize(
        ("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
    )
    def test_path_writes_a_file_of_that_kind_and_the_folders_above(
        self, tmp_path, suffix, start
    ):
        path = tmp_path / "a" / "b" / f"curves.{suffix}"
        plot.history(CURVES, path=path)
        assert path.read_bytes().startswith(start)

    def test_a_format_that_matplotlib_cannot_write_is_refused_before_any_folder_is_made(
        self, tmp_path
    ):
        with pytest.raises(ArgumentError, match=r'format "\.docx"'):
            plot.history(CURVES, path=tmp_path / "new" / "curves.docx")
        assert not (tmp_path / "new").exists()

    def test_a_notebook_gets_a_png(self):
        assert plot.history(CURVES)._repr_png_().startswith(b"\x89PNG")

    def test_pyplot_and_its_global_state_are_not_used(self, run_fork):
        run_fork("""
            import sys
            import larqlite as lq
            for name in [n for n in sys.modules if n.startswith("matplotlib")]:
                del sys.modules[name]  # Keras 3 imports pyplot if it can
            sys.modules["matplotlib.pyplot"] = None  # an import of it would now fail
            lq.plot.quantizer("ste_sign", path="q.png")
            lq.plot.history({"loss": [1, 2]}, path="h.pdf")
            assert open("q.png", "rb").read(4) == b"\\x89PNG"
        """)
