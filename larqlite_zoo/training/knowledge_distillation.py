"""The losses by which a student learns from a teacher, as layers, and the labels' loss."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite import models
from larqlite.errors import ArgumentError, near_matches

_USAGE = (
    "  Fix: layer([x, teacher, student]): a tensor that is returned as it is, then the"
)


class LayerNameError(ArgumentError, AssertionError):
    """A part of a name that fits no layer of a model, or several."""


class VolumeError(ArgumentError, NotImplementedError):
    """Activations that are not of the shape `(batch, height, width, channels)`."""


@tf_keras.saving.register_keras_serializable("larqlite_zoo")
class AttentionMatchingLossLayer(tf_keras.layers.Layer):
    r"""Adds the difference of where teacher and student look to the loss of the model.

    With activations $A$ of shape `(batch, height, width, channels)`,

    $$ Q(A)_{hw} = \tfrac1C \sum_c A_{hwc}^2, \quad
       L = w \cdot \frac{1}{B P H W} \sum_{b,p,h,w} \left(
       \frac{Q(S_{bp})}{\max Q(S_{bp})} - \frac{Q(T_{bp})}{\max Q(T_{bp})}\right)_{hw}^2 $$

    over the images $b$ of a batch and the pairs $p$ of volumes; each pair is averaged
    over its own positions. A volume that is zero everywhere has the attention 0.

    Args:
        loss_weight: $w$.
        propagate_teacher_gradients: whether the loss changes the teacher too.
        name: of the layer.

    Inputs:
        A list `[x, teacher, student]`: any tensor, then a volume or a list of volumes of
        each of the two networks, equal in number and shapes.

    Outputs:
        `x` as it is. `fit` and `evaluate` report `attention_loss`, the mean of the loss
        over all images; the computation is in float32 (float64 for float64).

    Raises:
        VolumeError: a volume that does not have four axes.
        ArgumentError: inputs of another structure, or pairs whose shapes differ.

    Example:
        >>> from larqlite_zoo.training import AttentionMatchingLossLayer
        >>> teacher = tf.constant([1.0, 2.0], shape=(1, 1, 2, 1))
        >>> student = tf.constant([3.0, 3.0], shape=(1, 1, 2, 1))
        >>> layer = AttentionMatchingLossLayer(loss_weight=2.0)
        >>> _ = layer([tf.zeros([1, 10]), teacher, student])
        >>> float(layer.losses[0])  # 2 * ((1 - 1/4)^2 + (1 - 1)^2) / 2
        0.5625

    References:
        Training Binary Neural Networks with Real-to-Binary Convolutions,
        https://arxiv.org/abs/2003.11535, section 4.2, eq. 1; Paying More Attention to
        Attention, https://arxiv.org/abs/1612.03928.
    """

    def __init__(
        self,
        loss_weight: float,
        propagate_teacher_gradients: bool = False,
        name: str = "attention_matching_loss",
        **kwargs,
    ):
        super().__init__(name=name, autocast=False, **kwargs)
        self.loss_weight = loss_weight
        self.propagate_teacher_gradients = propagate_teacher_gradients

    def call(self, inputs):
        x, teacher, student = self._split(inputs)
        if not self.propagate_teacher_gradients:
            teacher = [tf.stop_gradient(volume) for volume in teacher]
        pairs = [
            tf.reduce_mean((attention(s) - attention(t)) ** 2, axis=-1)
            for t, s in zip(teacher, student)  # noqa: B905 - AutoGraph's zip; equal above
        ]
        of_each_image = self.loss_weight * tf.add_n(pairs) / len(pairs)
        self.add_loss(tf.reduce_mean(of_each_image))
        self.add_metric(of_each_image, name="attention_loss")
        return x

    def get_config(self) -> dict:
        """The arguments."""
        return super().get_config() | {
            "loss_weight": self.loss_weight,
            "propagate_teacher_gradients": self.propagate_teacher_gradients,
        }

    def _split(self, inputs):
        where = f'AttentionMatchingLossLayer "{self.name}"'
        x, teacher, student = _three(
            inputs, where, "volumes of the teacher and those of the student."
        )
        teacher, student = _as_list(teacher), _as_list(student)
        if len(teacher) != len(student) or not teacher:
            raise ArgumentError(
                f"{where}: {len(teacher)} volumes of the teacher, {len(student)} of the "
                "student.\n  Fix: one of each for every pair, and at least one pair."
            )
        for pair in zip(teacher, student):  # noqa: B905 - AutoGraph's zip; equal above
            shapes = [volume.shape for volume in pair]
            if any(shape.rank != 4 for shape in shapes):
                raise VolumeError(
                    f"{where}: volumes {shapes[0]} of the teacher and {shapes[1]} of the "
                    "student.\n  Fix: volumes (batch, height, width, channels)."
                )
            if not shapes[0].is_compatible_with(shapes[1]):
                raise ArgumentError(
                    f"{where}: a volume {shapes[0]} of the teacher does not match "
                    f"{shapes[1]} of the student.\n  Fix: layers of equal output shapes."
                )
        return x, teacher, student


@tf_keras.saving.register_keras_serializable("larqlite_zoo")
class OutputDistributionMatchingLossLayer(tf_keras.layers.Layer):
    r"""Adds the divergence of the student's predictions from the teacher's to the loss.

    $$ L = w\, T^2 \cdot \frac1B \sum_b \sum_k p_{bk} (\log p_{bk} - \log q_{bk}),
       \quad p = \mathrm{softmax}(t / T),\ q = \mathrm{softmax}(s / T) $$

    with logits $t$ of the teacher and $s$ of the student. The logarithms come from the
    logits, so the gradient $w T (q - p) / B$ holds where $q$ rounds to 0, too.

    Args:
        loss_weight: $w$.
        softmax_temperature: $T > 0$; higher ones soften both distributions.
        propagate_teacher_gradients: whether the loss changes the teacher too.
        name: of the layer.

    Inputs:
        A list `[x, teacher_logits, student_logits]`: any tensor, then two of the shape
        `(batch, classes)`.

    Outputs:
        `x` as it is. `fit` and `evaluate` report `output_matching_loss`, the mean of the
        loss over all images; the computation is in float32 (float64 for float64).

    Raises:
        ArgumentError: a temperature that is not positive, inputs of another structure, or
            logits whose shapes differ.

    Example:
        >>> from larqlite_zoo.training import OutputDistributionMatchingLossLayer
        >>> layer = OutputDistributionMatchingLossLayer(1.0, softmax_temperature=1.0)
        >>> teacher, student = tf.math.log([[0.5, 0.5]]), tf.math.log([[0.25, 0.75]])
        >>> _ = layer([tf.zeros([1, 10]), teacher, student])
        >>> round(float(layer.losses[0]), 4)  # (log 2 + log 2/3) / 2
        0.1438

    References:
        Distilling the Knowledge in a Neural Network, https://arxiv.org/abs/1503.02531,
        section 2.
    """

    def __init__(
        self,
        loss_weight: float,
        softmax_temperature: float,
        propagate_teacher_gradients: bool = True,
        name: str = "output_distribution_matching_loss",
        **kwargs,
    ):
        super().__init__(name=name, autocast=False, **kwargs)
        if not softmax_temperature > 0:
            raise ArgumentError(
                f'OutputDistributionMatchingLossLayer "{name}": '
                f"softmax_temperature={softmax_temperature}.\n"
                "  Fix: a positive number; 1 leaves the distributions as they are."
            )
        self.loss_weight = loss_weight
        self.softmax_temperature = softmax_temperature
        self.propagate_teacher_gradients = propagate_teacher_gradients

    def call(self, inputs):
        where = f'OutputDistributionMatchingLossLayer "{self.name}"'
        x, teacher, student = _three(
            inputs, where, "logits of the teacher and those of the student."
        )
        for logits in (teacher, student):
            if not tf.is_tensor(logits):
                raise ArgumentError(
                    f"{where}: logits that are a {type(logits).__name__}.\n"
                    "  Fix: one tensor (batch, classes) of each network."
                )
        if not teacher.shape.is_compatible_with(student.shape):
            raise ArgumentError(
                f"{where}: logits {teacher.shape} of the teacher do not match "
                f"{student.shape} of the student.\n  Fix: networks of as many classes."
            )
        if not self.propagate_teacher_gradients:
            teacher = tf.stop_gradient(teacher)
        temperature = self.softmax_temperature
        log_p = tf.nn.log_softmax(_wide(teacher) / temperature)
        log_q = tf.nn.log_softmax(_wide(student) / temperature)
        divergence = tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1)
        of_each_image = self.loss_weight * temperature**2 * divergence
        self.add_loss(tf.reduce_mean(of_each_image))
        self.add_metric(of_each_image, name="output_matching_loss")
        return x

    def get_config(self) -> dict:
        """The arguments."""
        return super().get_config() | {
            "loss_weight": self.loss_weight,
            "softmax_temperature": self.softmax_temperature,
            "propagate_teacher_gradients": self.propagate_teacher_gradients,
        }


# They give out their first input; losses are no part of a network's cost.
for _cls in (AttentionMatchingLossLayer, OutputDistributionMatchingLossLayer):
    models.add_layer_facts(_cls, models.LayerFacts(values="moved"))


@tf_keras.saving.register_keras_serializable("larqlite_zoo")
class WeightedCrossEntropyLoss(tf_keras.losses.SparseCategoricalCrossentropy):
    """`loss_weight` times the cross-entropy of probabilities with integer labels.

    Args:
        loss_weight: the factor.
        **kwargs: those of `tf_keras.losses.SparseCategoricalCrossentropy`.

    Example:
        >>> from larqlite_zoo.training import WeightedCrossEntropyLoss
        >>> loss = WeightedCrossEntropyLoss(loss_weight=0.5)
        >>> round(float(loss([1], [[0.75, 0.25]])), 4)  # 0.5 * log 4
        0.6931

    References:
        Distilling the Knowledge in a Neural Network, https://arxiv.org/abs/1503.02531.
    """

    def __init__(self, loss_weight: float, **kwargs):
        super().__init__(**kwargs)
        self.loss_weight = loss_weight

    def call(self, y_true, y_pred):
        """Loss of each image."""
        return self.loss_weight * super().call(y_true, y_pred)

    def get_config(self) -> dict:
        """The arguments."""
        return super().get_config() | {"loss_weight": self.loss_weight}


def get_unique_layer_with_partial_name(
    model: tf_keras.Model, partial_name: str
) -> tf_keras.layers.Layer:
    """The one layer of a model whose name contains `partial_name`.

    Raises:
        LayerNameError: there is none, or there are several; an `AssertionError` too.

    Example:
        >>> from larqlite_zoo.literature import ResNet18FP
        >>> from larqlite_zoo.training import get_unique_layer_with_partial_name
        >>> model = ResNet18FP(input_shape=(32, 32, 3), num_classes=10)
        >>> get_unique_layer_with_partial_name(model, "block_2_out").name
        'resnet_fp_block_2_out'
    """
    names = [layer.name for layer in model.layers]
    found = [name for name in names if partial_name in name]
    if len(found) == 1:
        return model.get_layer(found[0])
    what, fix = f"{len(found)} layers: {', '.join(found[:8])}", " a longer part."
    if not found:
        what, fix = "no layer", near_matches(partial_name, names) or " model.summary()."
    raise LayerNameError(
        f'"{partial_name}" is part of the name of {what}, in the model "{model.name}".\n'
        f"  Fix:{fix}"
    )


def attention(volume):
    """Where a volume is active: `(batch, height * width)`, the largest of an image 1."""
    energy = tf.reduce_mean(tf.square(_wide(volume)), axis=-1)
    energy = tf.reshape(energy, (tf.shape(energy)[0], -1))
    return tf.math.divide_no_nan(energy, tf.reduce_max(energy, axis=-1, keepdims=True))


def _three(inputs, where: str, what: str):
    if isinstance(inputs, (list, tuple)) and len(inputs) == 3:
        return inputs
    is_list = isinstance(inputs, (list, tuple))
    got = f"a list of {len(inputs)}" if is_list else f"a {type(inputs).__name__}"
    raise ArgumentError(f"{where}: called with {got}.\n{_USAGE} {what}")


def _as_list(volumes) -> list:
    return list(volumes) if isinstance(volumes, (list, tuple)) else [volumes]


def _wide(x):
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)
