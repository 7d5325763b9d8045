"""A student and its teacher as one model, so that `fit` trains the one by the other."""

from __future__ import annotations

from pathlib import Path

import tf_keras

from larqlite.errors import ArgumentError
from larqlite.internal import copy_of
from larqlite_zoo import _registered_models
from larqlite_zoo.datasets import Dataset
from larqlite_zoo.training._first_weights import weight_file
from larqlite_zoo.training._recipe import Distillation, Recipe
from larqlite_zoo.training.knowledge_distillation import (
    AttentionMatchingLossLayer,
    LayerNameError,
    OutputDistributionMatchingLossLayer,
    WeightedCrossEntropyLoss,
    get_unique_layer_with_partial_name,
)


def with_teacher(
    student: tf_keras.Model,
    recipe: Recipe,
    data: Dataset,
    shape: tuple[int, int, int],
    output: Path,
) -> tuple[tf_keras.Model, tf_keras.losses.Loss]:
    """The model that trains a student, and its loss from the labels.

    Args:
        student: built, with its first weights.
        recipe: names the teacher, its weights, and what is matched.
        data: tells the number of classes.
        shape: `(height, width, channels)` of one image.
        output: the folder of the run; weights of earlier stages lie beside it.

    Returns:
        A model "teacher_student_model" from images to the student's output, not
        compiled, and the weighted cross-entropy. Without a teacher it is the student.

    Raises:
        ArgumentError: a teacher without weights, or one that does not fit the student.
        LayerNameError: a name of a layer that fits none, or several.
    """
    how = recipe.distillation
    loss = WeightedCrossEntropyLoss(how.classification_weight)
    if how.teacher is None:
        return student, loss
    teacher = _teacher(recipe, data, shape, output)
    image = tf_keras.Input(shape, name="image")
    volumes, logits = _matched(student, teacher, how)
    learns = how.train_teacher_by_attention or how.train_teacher_by_output
    # A frozen teacher is called in inference mode: its BatchNormalization stands still,
    # and its Dropout lets everything pass.
    mode = {} if learns else {"training": False}
    taught = tf_keras.Model(
        teacher.inputs, [t for t, _ in (*volumes, *logits)], name="teacher"
    )(image, **mode)
    learned = tf_keras.Model(
        student.inputs,
        [student.output, *(s for _, s in (*volumes, *logits))],
        name="student",
    )(image)
    taught = taught if isinstance(taught, list) else [taught]
    x, *learned = learned
    count = len(volumes)
    if volumes:
        x = AttentionMatchingLossLayer(
            how.attention_weight, how.train_teacher_by_attention
        )([x, taught[:count], learned[:count]])
    if logits:
        x = OutputDistributionMatchingLossLayer(
            how.output_weight, how.temperature, how.train_teacher_by_output
        )([x, taught[count], learned[count]])
    return tf_keras.Model(image, x, name="teacher_student_model"), loss


def _teacher(recipe: Recipe, data: Dataset, shape, output: Path) -> tf_keras.Model:
    how = recipe.distillation
    weights = weight_file(how.teacher_weights, output, how.teacher)
    if weights is None and not how.allow_missing_teacher_weights:
        raise ArgumentError(
            f'{recipe.name}: the teacher "{how.teacher}" has no weights, so it knows '
            "nothing.\n  Fix: teacher_weights, or allow_missing_teacher_weights=True if "
            "that is meant."
        )
    teacher = _registered_models.get(
        how.teacher, input_shape=shape, num_classes=data.num_classes, weights=weights
    )
    if how.train_teacher_by_attention or how.train_teacher_by_output:
        return teacher
    return _frozen(teacher)


def _frozen(model: tf_keras.Model) -> tf_keras.Model:
    """The same network that does not learn, and whose weights add nothing to the loss."""

    def without_penalties(layer):
        return {key: None for key in layer.get_config() if key.endswith("regularizer")}

    frozen = copy_of(model, "lqz train", without_penalties)
    frozen.trainable = False
    return frozen


def _matched(student: tf_keras.Model, teacher: tf_keras.Model, how: Distillation):
    """The pairs `(teacher's, student's)` of volumes, then that of logits, if matched."""
    volumes, logits = [], []
    if how.attention_weight:
        names = how.teacher_attention_layers or how.attention_layers
        for theirs, own in zip(names, how.attention_layers, strict=True):
            pair = (
                get_unique_layer_with_partial_name(teacher, theirs),
                get_unique_layer_with_partial_name(student, own),
            )
            _require_equal_shapes(pair)
            volumes.append(tuple(layer.output for layer in pair))
    if how.output_weight:
        logits.append((logits_of(teacher), logits_of(student)))
    return volumes, logits


def _require_equal_shapes(pair) -> None:
    shapes = [tuple(layer.output_shape) for layer in pair]
    if shapes[0] == shapes[1] and len(shapes[0]) == 4:
        return
    raise ArgumentError(
        f'attention of the teacher\'s layer "{pair[0].name}" {shapes[0]} and of the '
        f'student\'s layer "{pair[1].name}" {shapes[1]} cannot be compared.\n'
        "  Fix: layers of equal shapes (batch, height, width, channels); their names are "
        "teacher_attention_layers and attention_layers."
    )


def logits_of(model: tf_keras.Model):
    """What goes into the softmax at the end of a model.

    It is the output of the one layer with "logits" in its name, or else the input of the
    last layer if that is a softmax.

    Raises:
        LayerNameError: the model has neither, or several layers of such a name.
    """
    if any("logits" in layer.name for layer in model.layers):
        return get_unique_layer_with_partial_name(model, "logits").output
    last = model.layers[-1]
    function = getattr(last, "activation", None)
    is_softmax = isinstance(last, tf_keras.layers.Softmax) or (
        isinstance(last, tf_keras.layers.Activation)
        and function is tf_keras.activations.softmax
    )
    if is_softmax:
        return last.input
    raise LayerNameError(
        f'the model "{model.name}" has no layer with "logits" in its name, and ends in '
        f'"{last.name}", which is no softmax.\n  Fix: name its last linear layer "logits", '
        "or match attention only (output_weight=0)."
    )
