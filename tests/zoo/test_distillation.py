"""A student that learns from a teacher: losses, gradients, and what stands still."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError
from larqlite_zoo import _registered_models
from larqlite_zoo.training import (
    AttentionMatchingLossLayer,
    Distillation,
    OutputDistributionMatchingLossLayer,
    Recipe,
    WeightedCrossEntropyLoss,
    get_unique_layer_with_partial_name,
)
from larqlite_zoo.training._distillation import logits_of, with_teacher
from tests.zoo.toys import SHAPE, data, images, labels, registered


@pytest.fixture(scope="module", autouse=True)
def _toys():
    with registered(
        "toy_student",
        toy_teacher={"decay": 0.1},
        toy_wide={"filters": 6},
        toy_dense={"final": "classes"},
    ):
        yield


def taught(distillation: Distillation, model: str = "toy_student"):
    """`(teacher_student_model, student, recipe)`, compiled."""
    recipe = Recipe("TrainToy", model, distillation=distillation)
    student = _registered_models.get(model, input_shape=SHAPE, num_classes=3)
    both, loss = with_teacher(student, recipe, data(), SHAPE, Path("nowhere/stage_1"))
    both.compile(tf_keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    return both, student


def by_both(**changes) -> Distillation:
    return Distillation(
        **{
            "teacher": "toy_teacher",
            "allow_missing_teacher_weights": True,
            "attention_weight": 2.0,
            "attention_layers": ("block_out",),
            "output_weight": 3.0,
            "temperature": 2.0,
            "classification_weight": 0.5,
            **changes,
        }
    )


def waves(shape, frequency: float, phase: float) -> np.ndarray:
    """Numbers that another environment can make again."""
    count = np.prod(shape)
    return np.sin(np.arange(count) * frequency + phase).reshape(shape).astype("float32")


def attention_loss(teacher: np.ndarray, student: np.ndarray) -> np.ndarray:
    """Eq. 1 of arXiv:2003.11535 in float64, one number for each image."""
    maps = []
    for volume in (teacher, student):
        energy = np.mean(np.float64(volume) ** 2, axis=3).reshape(len(volume), -1)
        maps.append(energy / energy.max(axis=1, keepdims=True))
    return np.mean((maps[0] - maps[1]) ** 2, axis=1)


def matching_loss(teacher: np.ndarray, student: np.ndarray, t: float) -> np.ndarray:
    """T^2 times the Kullback-Leibler divergence, one number for each image."""

    def softmax(x):
        e = np.exp(np.float64(x) / t)
        return e / e.sum(axis=1, keepdims=True)

    p, q = softmax(teacher), softmax(student)
    return t**2 * np.sum(p * np.log(p / q), axis=1)


def loss_and_gradients(layer, teacher, student):
    """The loss that a layer adds, and sums of the magnitudes of its gradients."""
    inputs = [tf.constant(x) for x in (*teacher, *student)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        half = len(teacher)
        one = half == 1 and isinstance(layer, OutputDistributionMatchingLossLayer)
        pair = inputs if one else [inputs[:half], inputs[half:]]
        layer([tf.zeros([2, 5]), *pair])
        (loss,) = layer.losses
    gradients = tape.gradient(loss, inputs)
    return float(loss), [
        g if g is None else float(tf.reduce_sum(abs(g))) for g in gradients
    ]


# Larq Zoo 2.4.0 on the same numbers: loss, then sums of the magnitudes of gradients.
VOLUMES = [waves((2, 3, 2, 4), 0.7, 0.1), waves((2, 1, 2, 3), 0.9, 0.2)]
OWN = [waves((2, 3, 2, 4), 0.3, 0.5), waves((2, 1, 2, 3), 0.4, 0.6)]
LOGITS = [3 * waves((4, 5), 0.8, 0.3)]
OWN_LOGITS = [2 * waves((4, 5), 0.5, 0.9)]
LARQ_ZOO = [
    (
        AttentionMatchingLossLayer(30.0),
        (VOLUMES, OWN),
        (5.536833763, [None, None, 18.50077247, 9.426214218]),
    ),
    (
        AttentionMatchingLossLayer(30.0, propagate_teacher_gradients=True),
        (VOLUMES, OWN),
        (5.536833763, [41.25679016, 36.85732651, 18.50077247, 9.426214218]),
    ),
    (
        OutputDistributionMatchingLossLayer(
            3.0, 1.0, propagate_teacher_gradients=False
        ),
        (LOGITS, OWN_LOGITS),
        (4.352198601, [None, 3.84069562]),
    ),
    (
        OutputDistributionMatchingLossLayer(3.0, 4.0),
        (LOGITS, OWN_LOGITS),
        (8.064329147, [5.303136826, 5.798565865]),
    ),
]


@pytest.mark.parametrize(("layer", "inputs", "golden"), LARQ_ZOO)
def test_losses_and_gradients_equal_larq_zoo(layer, inputs, golden):
    loss, gradients = loss_and_gradients(layer, *inputs)
    assert loss == pytest.approx(golden[0], rel=1e-5)
    for found, expected in zip(gradients, golden[1], strict=True):
        assert found == (expected and pytest.approx(expected, rel=1e-5))


def test_losses_equal_the_formulas_by_hand():
    layer = AttentionMatchingLossLayer(30.0)
    expected = np.mean(
        [attention_loss(*pair) for pair in zip(VOLUMES, OWN, strict=True)]
    )
    assert loss_and_gradients(layer, VOLUMES, OWN)[0] == pytest.approx(30 * expected)
    layer = OutputDistributionMatchingLossLayer(3.0, 4.0)
    expected = 3 * np.mean(matching_loss(*LOGITS, *OWN_LOGITS, t=4.0))
    loss, _ = loss_and_gradients(layer, LOGITS, OWN_LOGITS)
    assert loss == pytest.approx(expected)


def test_a_sure_and_wrong_student_still_gets_the_whole_gradient():
    layer = OutputDistributionMatchingLossLayer(1.0, 1.0)
    loss, (_, gradient) = loss_and_gradients(
        layer, [np.float32([[50.0, 0.0]])], [np.float32([[0.0, 50.0]])]
    )
    assert loss == pytest.approx(50.0)
    assert gradient == pytest.approx(2.0)  # |q - p| = 1 for both classes


def test_a_dead_volume_has_no_attention_and_no_nan():
    dead, alive = (
        [np.zeros((1, 2, 2, 3), "float32")],
        [np.ones((1, 2, 2, 3), "float32")],
    )
    loss, (gradient,) = (
        loss_and_gradients(AttentionMatchingLossLayer(1.0), alive, dead)[0],
        loss_and_gradients(AttentionMatchingLossLayer(1.0), alive, dead)[1][1:],
    )
    assert (loss, gradient) == (1.0, 0.0)


def test_the_weighted_cross_entropy_equals_larq_zoo_and_weights_images():
    loss = WeightedCrossEntropyLoss(0.7)
    probabilities = tf.nn.softmax(OWN_LOGITS[0])
    targets = np.array([0, 3, 2, 4])
    assert float(loss(targets, probabilities)) == pytest.approx(1.6768391132)
    each = -np.log(probabilities.numpy()[np.arange(4), targets])
    weighted = loss(targets, probabilities, sample_weight=np.float32([1, 0, 2, 0]))
    assert float(weighted) == pytest.approx(0.7 * (each[0] + 2 * each[2]) / 4)


@pytest.mark.parametrize(
    "thing",
    [
        AttentionMatchingLossLayer(3.0, True, name="a"),
        OutputDistributionMatchingLossLayer(3.0, 2.0, False, dtype="float32"),
        WeightedCrossEntropyLoss(0.25),
    ],
)
def test_configs_go_round(thing):
    kind = "losses" if isinstance(thing, tf_keras.losses.Loss) else "layers"
    module = getattr(tf_keras, kind)
    written = module.serialize(thing)
    assert written["registered_name"] == f"larqlite_zoo>{type(thing).__name__}"
    assert module.deserialize(written).get_config() == thing.get_config()


@pytest.mark.parametrize(
    ("layer", "inputs", "message"),
    [
        (AttentionMatchingLossLayer(1.0), [tf.zeros([1, 1])] * 2, "a list of 2"),
        (AttentionMatchingLossLayer(1.0), tf.zeros([3, 1, 1, 1]), "Fix: layer"),
        (
            AttentionMatchingLossLayer(1.0),
            [tf.zeros([1, 1]), [tf.zeros([1, 2, 2, 3])] * 2, [tf.zeros([1, 2, 2, 3])]],
            "2 volumes of the teacher, 1 of the",
        ),
        (
            AttentionMatchingLossLayer(1.0),
            [tf.zeros([1, 1]), tf.zeros([1, 2, 2, 3]), tf.zeros([1, 2, 2, 4])],
            r"\(1, 2, 2, 3\) of the teacher does not match \(1, 2, 2, 4\)",
        ),
        (
            OutputDistributionMatchingLossLayer(1.0, 1.0),
            [tf.zeros([1, 1]), tf.zeros([1, 2]), tf.zeros([1, 3])],
            "networks of as many classes",
        ),
        (
            OutputDistributionMatchingLossLayer(1.0, 1.0),
            [tf.zeros([1, 1]), [tf.zeros([1, 2])], [tf.zeros([1, 2])]],
            "logits that are a",
        ),
    ],
)
def test_inputs_of_another_structure_are_refused(layer, inputs, message):
    with pytest.raises(ArgumentError, match=message):
        layer(inputs)


def test_volumes_without_four_axes_are_not_implemented_and_temperatures_positive():
    with pytest.raises(NotImplementedError, match="height, width, channels"):
        AttentionMatchingLossLayer(1.0)([tf.zeros([1, 1])] + [tf.zeros([1, 4])] * 2)
    with pytest.raises(ArgumentError, match="softmax_temperature=0"):
        OutputDistributionMatchingLossLayer(1.0, 0)


@pytest.mark.slow
def test_a_layer_is_found_by_a_part_of_its_name_if_it_is_one():
    _, student = taught(by_both())
    assert (
        get_unique_layer_with_partial_name(student, "_conv").name == "toy_student_conv"
    )
    with pytest.raises(AssertionError, match="7 layers: toy_student_conv"):
        get_unique_layer_with_partial_name(student, "o")
    with pytest.raises(ArgumentError, match='Did you mean "toy_student_conv"'):
        get_unique_layer_with_partial_name(student, "toy_student_cnv")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"output_weight": 1.0}, "no teacher"),
        ({"attention_weight": 1.0, "attention_layers": ("x",)}, "no teacher"),
        ({"teacher": "toy_teacher"}, "teaches nothing"),
        ({"teacher": "toy_teacher", "attention_weight": 1.0}, "0 attention_layers"),
        ({"classification_weight": -1.0}, "below 0"),
        (
            {"teacher": "toy_teacher", "output_weight": 1.0, "temperature": 0.0},
            "positive",
        ),
    ],
)
def test_distillation_that_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ArgumentError, match=message):
        Distillation(**fields)


@pytest.mark.parametrize(
    ("changes", "model", "message"),
    [
        ({"allow_missing_teacher_weights": False}, "toy_student", "knows nothing"),
        (
            {"teacher_weights": "resnet_fp"},
            "toy_student",
            r"nowhere.models.resnet_fp_weig",
        ),
        ({"teacher": "resnet19"}, "toy_student", 'no model "resnet19"'),
        (
            {},
            "toy_wide",
            r'"toy_teacher_block_out" \(None, 8, 8, 4\) and .*\n*.*"toy_wide_block_out" '
            r"\(None, 8, 8, 6\)",
        ),
        ({"attention_layers": ("block_9_out",)}, "toy_student", "no layer"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(changes, model, message):
    with pytest.raises(ArgumentError, match=message):
        taught(by_both(**changes), model)


def test_without_a_teacher_the_student_is_trained_as_it_is():
    recipe = Recipe(
        "x", "toy_student", distillation=Distillation(classification_weight=2.0)
    )
    model = tf_keras.Sequential()
    both, loss = with_teacher(model, recipe, data(), SHAPE, Path("x/y"))
    assert both is model
    assert loss.loss_weight == 2.0


def test_logits_are_found_without_their_name_before_a_softmax():
    _, student = taught(by_both(attention_layers=("block_out",)), "toy_dense")
    assert logits_of(student) is student.get_layer("toy_dense_classes").output
    cut = tf_keras.Model(student.inputs, student.get_layer("toy_dense_norm").output)
    with pytest.raises(ArgumentError, match='"toy_dense_norm", which is no softmax'):
        logits_of(cut)


def parts(both):
    """The submodels `(teacher, student)` that give volumes and logits."""
    return both.get_layer("teacher"), both.get_layer("student")


def figures_by_hand(both, x, y) -> dict[str, float]:
    """What `evaluate` has to report, from the outputs of the two networks."""
    teacher, student = parts(both)
    (volume, logits) = (t.numpy() for t in teacher(x, training=False))
    (probabilities, own, own_logits) = (t.numpy() for t in student(x, training=False))
    attention = 2.0 * np.mean(attention_loss(volume, own))
    output = 3.0 * np.mean(matching_loss(logits, own_logits, t=2.0))
    labels_loss = 0.5 * np.mean(-np.log(probabilities[np.arange(len(y)), y]))
    return {
        "attention_loss": attention,
        "output_matching_loss": output,
        "loss": labels_loss + attention + output,
        "accuracy": np.mean(probabilities.argmax(axis=1) == y),
    }


def test_evaluate_reports_the_means_over_all_images_and_accuracy_is_the_students():
    both, _ = taught(by_both())
    x, y = images(6), labels(6)
    assert both.name == "teacher_student_model"
    assert len(both.inputs) == 1
    found = both.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
    # The L2 penalty of the frozen teacher, here 0.1 |w|^2, is not in the loss.
    assert found == pytest.approx(figures_by_hand(both, x, y), rel=1e-5)


def test_fit_changes_the_student_and_leaves_the_teacher_bit_for_bit():
    both, student = taught(by_both())
    teacher, _ = parts(both)
    before, own = teacher.get_weights(), student.get_weights()
    x, y = images(6), labels(6)
    # In inference mode Dropout and batch statistics play no part: the teacher of a
    # training step says what it says in evaluation.
    history = both.fit(x, y, batch_size=3, epochs=2, verbose=0).history
    assert {"loss", "accuracy", "attention_loss", "output_matching_loss"} <= {*history}
    for a, b in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    changed = [
        bool(np.any(a != b)) for a, b in zip(own, student.get_weights(), strict=True)
    ]
    # kernel and bias, gamma and beta, moving mean and variance, kernel and bias: all but
    # the first bias, which batch normalization takes away again.
    assert changed[0]
    assert all(changed[2:])
    training_mode = [t.numpy() for t in both.layers[1](x, training=False)]
    assert np.isfinite(training_mode[0]).all()


def test_a_frozen_teacher_says_the_same_in_training_as_in_evaluation():
    both, _ = taught(by_both(attention_weight=0.0))
    x = images(4)
    both(x, training=True)
    teacher, student = parts(both)
    loss = float(both.losses[0])
    logits = teacher(x, training=False)
    assert teacher.trainable_weights == []
    # The student's Dropout is on, so its logits are not known; without it they are.
    both(x, training=False)
    expected = 3.0 * np.mean(
        matching_loss(logits.numpy(), student(x, training=False)[1].numpy(), t=2.0)
    )
    assert float(both.losses[0]) == pytest.approx(expected, rel=1e-5)
    assert loss != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    "flag", ["train_teacher_by_attention", "train_teacher_by_output"]
)
def test_a_teacher_learns_from_the_loss_that_may_change_it(flag):
    both, _ = taught(by_both(**{flag: True}))
    teacher, _ = parts(both)
    names = {v.name: v.numpy() for v in teacher.trainable_weights}
    both.run_eagerly = True
    both.fit(images(6), labels(6), verbose=0)
    changed = {
        v.name for v in teacher.trainable_weights if np.any(v.numpy() != names[v.name])
    }
    assert "toy_teacher_conv/kernel:0" in changed
    learns_logits = any("logits" in name for name in changed)
    assert learns_logits == (flag == "train_teacher_by_output")


REPLICAS = """
    import numpy as np, tensorflow as tf, tf_keras
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )
    from tests.zoo import test_distillation as t, toys

    toys.toy("toy_teacher")
    toys.toy("toy_student")
    x, y = toys.images(8), toys.labels(8)

    def run(strategy, policy="float32"):
        tf_keras.mixed_precision.set_global_policy(policy)
        tf_keras.utils.set_random_seed(1)
        with strategy.scope():
            both, student = t.taught(t.by_both())
            for layer in t.parts(both)[1].layers:
                if isinstance(layer, (tf_keras.layers.BatchNormalization,)):
                    layer.trainable = False  # statistics of a replica are its own
                if isinstance(layer, tf_keras.layers.Dropout):
                    layer.rate = 0.0
            both.compile(tf_keras.optimizers.SGD(0.1), both.loss, metrics=["accuracy"])
        before = both.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
        by_hand = t.figures_by_hand(both, x, y)
        fit = both.fit(x, y, batch_size=8, epochs=3, verbose=0, shuffle=False).history
        return before, by_hand, fit, student.get_weights(), both.output.dtype

    one = run(tf.distribute.get_strategy())
    two = run(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
    for name, value in one[1].items():
        np.testing.assert_allclose([one[0][name], two[0][name]], value, rtol=1e-5)
        np.testing.assert_allclose(one[2][name], two[2][name], rtol=1e-5)
        np.testing.assert_allclose(one[2][name][0], value, rtol=1e-5)
    for a, b in zip(one[3], two[3]):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    for policy, tolerance in (("mixed_bfloat16", 0.1), ("mixed_float16", 0.01)):
        mixed = run(tf.distribute.get_strategy(), policy)
        assert mixed[4] == "float32", mixed[4]
        for name in ("loss", "attention_loss", "output_matching_loss"):
            np.testing.assert_allclose(mixed[0][name], mixed[1][name], rtol=tolerance)
            np.testing.assert_allclose(mixed[0][name], one[0][name], rtol=tolerance)
            assert np.isfinite(mixed[2][name]).all()
    print("equal")
"""


@pytest.mark.slow
def test_two_replicas_and_mixed_precision_report_and_learn_the_same(run_fork):
    assert "equal" in run_fork(REPLICAS)
