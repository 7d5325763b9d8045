"""The sub-optimizers and predicates of a CaseOptimizer: checked, and read alike.

New and legacy optimizers of tf_keras name the same things differently; the
differences end here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf
import tf_keras

from larqlite.errors import OptimizerError, OptimizerTypeError, require_tf_keras

NewOptimizer = tf_keras.optimizers.Optimizer
LegacyOptimizer = tf_keras.optimizers.legacy.Optimizer
Optimizer = NewOptimizer | LegacyOptimizer
Predicate = Callable[[tf.Variable], bool]


def optimizer_from(config: dict) -> Optimizer:
    """The optimizer of a serialized one.

    `tf_keras.optimizers.get` does not know all of Keras' own (Lion, Adafactor).
    """
    cls = getattr(tf_keras.optimizers, config["class_name"], None)
    if cls is not None and config.get("module") == "keras.optimizers":
        return cls.from_config(config["config"])
    return tf_keras.optimizers.get(config)


def checked_pair(pair, where: str) -> tuple[Predicate, Optimizer]:
    """The predicate and the optimizer of a pair.

    Raises:
        OptimizerTypeError: not a pair, or not of these two.
        KerasVersionError: an optimizer of Keras 3.
    """
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise OptimizerTypeError(
            f"{where}: got {pair!r}.\n  Fix: pass (predicate, optimizer), such as "
            "(lq.optimizers.Bop.is_binary_variable, lq.optimizers.Bop()); an "
            "optimizer for the rest is default_optimizer=..."
        )
    predicate, optimizer = pair
    if not callable(predicate):
        raise OptimizerTypeError(
            f"{where}: the predicate {predicate!r} is not callable.\n  Fix: pass a "
            "function of a variable that returns a bool, before the optimizer."
        )
    return predicate, checked_optimizer(optimizer, where)


def checked_optimizer(optimizer, where: str) -> Optimizer:
    """An optimizer from itself, its name or its config.

    Raises:
        OptimizerTypeError: not an optimizer, or one that scales losses.
        KerasVersionError: an optimizer of Keras 3.
    """
    require_tf_keras(optimizer, where)
    if isinstance(optimizer, str | dict):
        try:
            optimizer = tf_keras.optimizers.get(optimizer)
        except (TypeError, ValueError) as error:
            raise OptimizerTypeError(
                f"{where}: Keras knows no optimizer {optimizer!r}: {error}\n"
                "  Fix: pass an optimizer, such as tf_keras.optimizers.Adam()."
            ) from error
    if not isinstance(optimizer, Optimizer):
        raise OptimizerTypeError(
            f"{where}: got {optimizer!r}, which is not an optimizer of tf_keras.\n"
            "  Fix: pass an instance, such as tf_keras.optimizers.Adam() or "
            "tf_keras.optimizers.legacy.Adam()."
        )
    if isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
        raise OptimizerTypeError(
            f"{where}: got a LossScaleOptimizer, but loss scaling concerns all "
            "variables at once.\n  Fix: pass its inner optimizer, and wrap the "
            "CaseOptimizer (model.compile does so under mixed_float16)."
        )
    return optimizer


def require_fresh(optimizers: Sequence[Optimizer], where: str) -> None:
    """Raises if an optimizer occurs twice or has already trained something.

    Raises:
        OptimizerError: naming the optimizer.
    """
    if not optimizers:
        raise OptimizerError(
            f"{where}: got no optimizer.\n  Fix: pass pairs (predicate, optimizer) "
            "and default_optimizer=..."
        )
    for position, optimizer in enumerate(optimizers):
        if any(optimizer is other for other in optimizers[:position]):
            raise OptimizerError(
                f"{where}: {label_of(optimizer)} is "
                "given twice.\n  Fix: give each case an optimizer of its own, or join "
                "the predicates with `or`."
            )
        if getattr(optimizer, "_built", False) or (
            isinstance(optimizer, LegacyOptimizer) and optimizer.weights
        ):
            raise OptimizerError(
                f"{where}: {label_of(optimizer)} was "
                "used before, and its state belongs to those variables.\n  Fix: pass "
                "a new one: type(optimizer).from_config(optimizer.get_config())."
            )


def require_no_state(optimizer: Optimizer) -> None:
    """Raises if a copy of the optimizer would lack the state for its variables.

    Raises:
        OptimizerError: the optimizer is built.
    """
    if getattr(optimizer, "_built", False):
        raise OptimizerError(
            f"{label_of(optimizer)} cannot be copied any "
            "more: its state belongs to the variables that it trains.\n"
            "  Fix: copy.deepcopy(model) copies both; or, for a new start, "
            "type(optimizer).from_config(optimizer.get_config())."
        )


def create_state(optimizer: Optimizer, variables: Sequence[tf.Variable]) -> None:
    """Creates the variables that the optimizer keeps for `variables`."""
    if isinstance(optimizer, LegacyOptimizer):
        # Keras itself makes this call where it loads an .h5 file.
        optimizer._create_all_weights(variables)
    else:
        optimizer.build(variables)


def state_of(optimizer: Optimizer) -> list[tf.Variable]:
    """The variables that the optimizer keeps, without its step count."""
    legacy = isinstance(optimizer, LegacyOptimizer)
    variables = optimizer.weights if legacy else optimizer.variables
    return [variable for variable in variables if variable is not optimizer.iterations]


def step(
    optimizer: Optimizer, grads_and_vars: Iterable[tuple], aggregate: bool
) -> None:
    """Applies the gradients, summed over the replicas if `aggregate`."""
    if isinstance(optimizer, LegacyOptimizer):
        optimizer.apply_gradients(
            grads_and_vars, experimental_aggregate_gradients=aggregate
        )
    else:
        optimizer.apply_gradients(
            grads_and_vars, skip_gradients_aggregation=not aggregate
        )


def has_learning_rate(optimizer: Optimizer) -> bool:
    """Whether `optimizer.learning_rate` can be read."""
    try:
        return optimizer.learning_rate is not None
    except (AttributeError, ValueError):  # legacy and larqlite's, new
        return False


def name_of(optimizer: Optimizer) -> str:
    """The name that was given to the optimizer."""
    if isinstance(optimizer, LegacyOptimizer):
        return optimizer.get_config()["name"]
    return optimizer.name


def label_of(optimizer: Optimizer) -> str:
    """What to call the optimizer: its class, and its name where it was given another."""
    label = type(optimizer).__name__
    name = name_of(optimizer)
    return label if name == label else f'{label} "{name}"'


def labels(optimizers: Sequence[Optimizer], has_default: bool) -> list[str]:
    """Labels that tell the optimizers apart, the last being the default if there is one."""
    plain = [label_of(optimizer) for optimizer in optimizers]
    result = [
        f"{label} (pair {position})" if plain.count(label) > 1 else label
        for position, label in enumerate(plain)
    ]
    if has_default:
        result[-1] = f"{plain[-1]} (default)"
    return result


def registered_name(predicate: Predicate) -> str | None:
    """The name under which Keras finds the predicate again, if it does."""
    name = tf_keras.saving.get_registered_name(predicate)
    found = tf_keras.saving.get_registered_object(name)
    return name if found is predicate else None


def predicate_called(name: str | None) -> Predicate:
    """The predicate that was saved as `name`, or one that says that it is lost."""
    found = None if name is None else tf_keras.saving.get_registered_object(name)
    return _lost if found is None else found


def _lost(variable: tf.Variable) -> bool:
    raise OptimizerError(
        "CaseOptimizer: it was saved before its first step, so which optimizer trains "
        f"{variable.name} was not decided yet, and its predicate is not in the file.\n"
        "  Fix: call optimizer.build(model.trainable_variables) before saving, or "
        "register the predicate (tf_keras.saving.register_keras_serializable). To get "
        "at the model, load with compile=False and compile it again."
    )
