"""CaseOptimizer: several optimizers in one, each for the variables it is meant for."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import tensorflow as tf
import tf_keras

from larqlite._registration import register_object
from larqlite._two_kerases import OfTfKeras
from larqlite.errors import MissingHyperparameterError, OptimizerError
from larqlite.optimizers import _members as members
from larqlite.optimizers._assignment import Assignment, assign, described, enumeration
from larqlite.optimizers._members import Optimizer, Predicate

__all__ = ["CaseOptimizer"]


@register_object()
class CaseOptimizer(OfTfKeras, tf_keras.optimizers.Optimizer):
    """Gives each variable to the optimizer whose predicate claims it.

    A variable must not be claimed twice, and a predicate must claim something; the
    rest goes to the default optimizer. Without one the rest stays untrained, with a
    warning. All sub-optimizers share one step count, `iterations`, which also counts
    the steps in which none of the variables of a sub-optimizer has a gradient.

    The variables are assigned at the first step, or by `build`. `repr` then lists
    which went where. A saved optimizer carries the assignment by the position, name
    and shape of each variable, so after a reload from `.keras`, `.h5` or a
    checkpoint, also in another process, training goes on exactly as it would have.
    **A SavedModel forgets the state of every optimizer, Adam's too: that is a limit
    of Keras**, and so does an `.h5` under loss scaling (`mixed_float16`). Save as
    `.keras` what is to be trained further, and set the same dtype policy before it is
    loaded, because Keras scales the loss by the policy of the present process.

    `learning_rate` is that of the default optimizer, or else of the only
    sub-optimizer that has one, so the learning rate callbacks of Keras work.

    Args:
        *predicate_optimizer_pairs: pairs `(predicate, optimizer)`. A predicate takes a
            variable and returns a bool. An optimizer is one of
            `tf_keras.optimizers` or `tf_keras.optimizers.legacy`, its name, or its
            config, and serves in one place only. Mixing them is fine.
        default_optimizer: the optimizer for variables that no predicate claims.
        name: name of the optimizer.

    Raises:
        OptimizerTypeError: something that is not a pair, a predicate, an optimizer.
        KerasVersionError: an optimizer of Keras 3.
        OptimizerError: an optimizer that is given twice or was used before; and, at
            the first step, predicates that claim a variable twice or claim nothing.

    Example:
        >>> kernel = lq.variables.QuantizedVariable(
        ...     tf.Variable([1.0, -1.0], name="kernel"), precision=1)
        >>> bias = tf.Variable([0.5], name="bias")
        >>> optimizer = lq.optimizers.CaseOptimizer(
        ...     (lq.optimizers.Bop.is_binary_variable, lq.optimizers.Bop()),
        ...     default_optimizer=tf_keras.optimizers.SGD(0.1))
        >>> optimizer.build([kernel, bias])
        >>> optimizer
        <CaseOptimizer "optimizer_case"
          Bop: kernel:0 (2,)
          SGD (default): bias:0 (1,)>
    """

    def __init__(
        self,
        *predicate_optimizer_pairs: tuple[Predicate, Optimizer],
        default_optimizer: Optimizer | None = None,
        name: str = "optimizer_case",
    ):
        where = f'CaseOptimizer "{name}"'
        predicates, optimizers = [], []
        for position, pair in enumerate(predicate_optimizer_pairs):
            predicate, optimizer = members.checked_pair(
                pair, f"{where}, pair {position}"
            )
            predicates.append(predicate)
            optimizers.append(optimizer)
        if default_optimizer is not None:
            optimizers.append(
                members.checked_optimizer(
                    default_optimizer, f"{where}, default_optimizer"
                )
            )
        members.require_fresh(optimizers, where)
        super().__init__(name, weight_decay=None)
        self._learning_rate = None
        self._predicates = tuple(predicates)
        self._optimizers = optimizers
        self._has_default = default_optimizer is not None
        self._assignment = None

    @property
    def optimizers(self) -> list[Optimizer]:
        """The sub-optimizers in the order of the pairs, the default one last."""
        return list(self._optimizers)

    def __dir__(self):
        # Keras' file format walks `dir()` for optimizers and saves what it finds, but
        # the state of the sub-optimizers is already among `variables`.
        return [x for x in super().__dir__() if x not in ("optimizers", "_optimizers")]

    @property
    def variables(self) -> list[tf.Variable]:
        """The step count, then the state of each sub-optimizer in turn."""
        result = super().variables
        for optimizer in self._optimizers:
            result.extend(members.state_of(optimizer))
        return result

    @property
    def learning_rate(self):
        """The default optimizer's, or else that of the only one that has one."""
        return self.learning_rate_owner().learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self.learning_rate_owner().learning_rate = value

    def learning_rate_owner(self) -> Optimizer:
        """The sub-optimizer whose learning rate is read and set through this one.

        Raises:
            MissingHyperparameterError: none has one, or several and none by default.
        """
        having = {
            label: optimizer
            for label, optimizer in zip(self._labels(), self._optimizers, strict=True)
            if members.has_learning_rate(optimizer)
        }
        if self._has_default and self._optimizers[-1] in having.values():
            return self._optimizers[-1]
        if len(having) == 1:
            return next(iter(having.values()))
        which = f"{' and '.join(having)} have one each" if having else "none has one"
        raise MissingHyperparameterError(
            f"{self._where} has {'more than one' if having else 'no'} learning rate: "
            f"{which}, and there is no default optimizer to prefer.\n"
            "  Fix: schedule one of them: lq.callbacks.HyperparameterScheduler("
            'schedule, "learning_rate", optimizer=sub_optimizer).'
        )

    def build(self, var_list: Iterable[tf.Variable]) -> None:
        """Assigns the variables and creates the state of the sub-optimizers.

        A second call does nothing.

        Args:
            var_list: the trainable variables of the model, all of them.

        Raises:
            OptimizerError: see the class; or, after a reload, the variables are not
                those that the optimizer was saved with. Nothing is built then.
        """
        if getattr(self, "_built", False):
            return
        variables = list(var_list)
        if self._assignment is None:
            assignment = assign(
                variables,
                self._predicates,
                self._labels(),
                len(self._optimizers) - 1 if self._has_default else None,
                self._where,
            )
        else:
            assignment = self._assignment
            assignment.require_same(variables, self._where)
        super().build(variables)
        for index, optimizer in enumerate(self._optimizers):
            own = [
                v
                for v, i in zip(variables, assignment.owners, strict=True)
                if i == index
            ]
            members.create_state(optimizer, own)
        self._assignment = assignment
        self._built = True

    def apply_gradients(
        self, grads_and_vars, name=None, skip_gradients_aggregation=False, **kwargs
    ):
        """One step of `(gradient, variable)` pairs; see `tf_keras.optimizers.Optimizer`.

        Raises:
            OptimizerError: a variable that was not there at the first step, or no
                gradient at all.
        """
        grads_and_vars = list(grads_and_vars)
        if not grads_and_vars:
            return self.iterations
        with tf.init_scope():
            self.build([variable for _, variable in grads_and_vars])
        groups = self._grouped(grads_and_vars)
        replica = tf.distribute.get_replica_context()
        if replica is None:
            raise OptimizerError(
                f"{self._where}: a step outside of the replicas of the strategy.\n"
                "  Fix: call apply_gradients in the function given to strategy.run."
            )
        if all(gradient is None for gradient, _ in grads_and_vars):
            names = [variable.name for _, variable in grads_and_vars]
            raise OptimizerError(
                f"{self._where}: there is no gradient for any of {enumeration(names)}.\n"
                "  Fix: compute the loss from these variables inside the GradientTape."
            )
        replica.merge_call(self._set_step_counts)
        aggregate = not skip_gradients_aggregation and kwargs.pop(
            "experimental_aggregate_gradients", True
        )
        for optimizer, pairs in zip(self._optimizers, groups, strict=True):
            if all(gradient is None for gradient, _ in pairs):
                continue
            members.step(optimizer, pairs, aggregate)
        replica.merge_call(lambda _: self.iterations.assign_add(1, read_value=False))
        return self.iterations

    def finalize_variable_values(self, var_list: Iterable[tf.Variable]) -> None:
        """Lets sub-optimizers that average the weights write their averages."""
        groups = self._grouped((None, variable) for variable in var_list)
        for optimizer, pairs in zip(self._optimizers, groups, strict=True):
            if not isinstance(optimizer, members.LegacyOptimizer):
                optimizer.finalize_variable_values([variable for _, variable in pairs])

    def set_weights(self, weights: Sequence) -> None:
        """Sets `variables`, in their order.

        Raises:
            OptimizerError: another number of values, or a value of another shape.
        """
        variables = self.variables
        shapes = [tuple(variable.shape) for variable in variables]
        given = [tuple(value.shape) for value in weights]
        if given == [()] and int(weights[0][()]) == 0:
            return  # saved before the first step
        if given != shapes:
            raise OptimizerError(
                f"{self._where}: the saved state does not fit: {len(given)} values of "
                f"shapes {given}, but the optimizer has {len(shapes)} of shapes "
                f"{shapes}.\n  Fix: build the model and the optimizer as they were "
                "when the state was saved."
            )
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(value)
        self._set_step_counts()

    def load_own_variables(self, store) -> None:
        """Sets `variables` to what `save_own_variables` wrote into a `.keras` file."""
        self.set_weights([store[str(index)] for index in range(len(store.keys()))])

    def get_config(self) -> dict:
        """The sub-optimizers, the registered predicates, and the assignment if built."""
        pairs = len(self._predicates)
        serialized = [tf_keras.optimizers.serialize(x) for x in self._optimizers]
        return {
            "name": self.name,
            "optimizers": serialized[:pairs],
            "predicates": [members.registered_name(x) for x in self._predicates],
            "default_optimizer": serialized[-1] if self._has_default else None,
            "assignment": self._assignment and self._assignment.to_config(),
            "is_legacy_optimizer": False,
        }

    @classmethod
    def from_config(
        cls, config: dict, custom_objects: dict | None = None
    ) -> CaseOptimizer:
        """The optimizer of a `get_config` dictionary.

        Predicates that are not registered with Keras are not in it. The assignment,
        once made, is, and takes their place.
        """
        config = copy.deepcopy(config)
        with tf_keras.saving.custom_object_scope(custom_objects or {}):
            pairs = [
                (
                    members.predicate_called(predicate),
                    members.optimizer_from(optimizer),
                )
                for predicate, optimizer in zip(
                    config["predicates"], config["optimizers"], strict=True
                )
            ]
            default = config["default_optimizer"]
            optimizer = cls(
                *pairs,
                default_optimizer=default and members.optimizer_from(default),
                name=config["name"],
            )
        if config["assignment"] is not None:
            optimizer._assignment = Assignment.from_config(config["assignment"])
        return optimizer

    def __deepcopy__(self, memo: dict) -> CaseOptimizer:
        members.require_no_state(self)
        copies = [type(x).from_config(x.get_config()) for x in self._optimizers]
        default = copies.pop() if self._has_default else None
        pairs = zip(self._predicates, copies, strict=True)
        return type(self)(*pairs, default_optimizer=default, name=self.name)

    def __repr__(self) -> str:
        labels = self._labels()
        if not getattr(self, "_built", False):
            lines = [f"{label}: not built yet" for label in labels]
        else:
            lines = self._assignment.described(labels)
        return "\n  ".join([f'<CaseOptimizer "{self.name}"', *lines]) + ">"

    @property
    def _where(self) -> str:
        return f'CaseOptimizer "{self.name}"'

    def _labels(self) -> list[str]:
        return members.labels(self._optimizers, self._has_default)

    def _grouped(self, grads_and_vars: Iterable[tuple]) -> list[list[tuple]]:
        """The pairs of each sub-optimizer; pairs without an owner are left out."""
        groups = [[] for _ in self._optimizers]
        unknown = []
        for gradient, variable in grads_and_vars:
            position = self._index_dict.get(self._var_key(variable))
            if position is None:
                unknown.append(variable)
            elif (owner := self._assignment.owners[position]) is not None:
                groups[owner].append((gradient, variable))
        if unknown:
            raise OptimizerError(
                f"{self._where}: {enumeration(described(unknown))} was not among the "
                f"{len(self._assignment.names)} variables of the first step.\n"
                "  Fix: call optimizer.build(model.trainable_variables) before it; or, "
                "after a change of what is trainable, compile with a new CaseOptimizer."
            )
        return groups

    def _set_step_counts(self, strategy: tf.distribute.Strategy | None = None) -> None:
        for optimizer in self._optimizers:
            optimizer.iterations.assign(self.iterations)
