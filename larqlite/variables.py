"""`QuantizedVariable`: the view of a latent variable that reads as quantized in scope.

This is the one file of larqlite that relies on TensorFlow names outside its
public API (`_dense_var_to_tensor`, `_should_act_as_resource_variable`,
`_gather_saveables_for_checkpoint`, `_export_to_saved_model_graph`,
`_copy_trackable_to_cpu`, `_handle_name`); `tests/test_variables.py`
fails first when one of them moves.
"""

from __future__ import annotations

import copy
import functools

import tensorflow as tf

from larqlite import context
from larqlite.errors import ArgumentError, LatentWeightError

__all__ = ["QuantizedVariable"]


class _IdentityTraceType(tf.types.experimental.TraceType):
    """Two arguments of a `tf.function` share a trace iff they are the same variable."""

    def __init__(self, variable):
        self._variable = variable

    def is_subtype_of(self, other) -> bool:
        return self == other

    def most_specific_common_supertype(self, others):
        return self if all(self == other for other in others) else None

    def placeholder_value(self, placeholder_context=None):
        return self._variable

    def to_tensors(self, value):
        return []

    def cast(self, value, casting_context):
        return value

    def __hash__(self) -> int:
        return id(self._variable)

    def __eq__(self, other) -> bool:
        return (
            isinstance(other, _IdentityTraceType) and self._variable is other._variable
        )


class QuantizedVariable(tf.Variable, tf.__internal__.types.Tensor):
    """A variable that holds latent values and reads as quantized ones in scope.

    Inside `larqlite.context.quantized_scope(True)` every read (`value`,
    `numpy`, operators, conversion to a tensor, sparse reads) passes through the
    quantizer; outside, and for every assignment, it is the latent variable.
    Checkpoints and SavedModels equal those of the latent variable.

    Make one with `QuantizedVariable.from_variable`, which also serves the
    distributed variables of `tf.distribute`.

    Attributes:
        latent_variable: the wrapped variable.
        quantizer: the function applied to reads in scope, or None.
        precision: bits of the quantized values, or None if not known.

    Example:
        >>> variable = lq.variables.QuantizedVariable.from_variable(
        ...     tf.Variable([0.5, -0.25]), quantizer=lq.quantizers.SteSign())
        >>> variable.numpy().tolist()
        [0.5, -0.25]
        >>> with lq.context.quantized_scope(True):
        ...     (2 * variable).numpy().tolist()
        [2.0, -2.0]
    """

    def __init__(self, variable, quantizer=None, precision=None, op=None):
        if not isinstance(variable, tf.Variable):
            raise ArgumentError(
                "QuantizedVariable: `variable` must be of type tf.Variable, got "
                f"{variable!r}."
            )
        if not (quantizer is None or callable(quantizer)):
            raise ArgumentError(
                "QuantizedVariable: `quantizer` must be callable or None, got "
                f"{quantizer!r}.\n  Fix: for a name, use larqlite.quantizers.get(name)."
            )
        if not (precision is None or isinstance(precision, int)):
            raise ArgumentError(
                f"QuantizedVariable: `precision` must be an int (bits) or None, got {precision!r}."
            )
        self._latent = variable
        self._precision = precision
        self.read_through(quantizer)
        self._assign_op = op

    @classmethod
    def from_variable(cls, variable, quantizer=None, precision=None, op=None):
        """The view of `variable`, an instance of its distributed class if it has one.

        Args:
            variable: floating-point `tf.Variable` with the latent values.
            quantizer: callable tensor -> tensor of the same shape, or None.
            precision: bits per value; the quantizer's by default.
            op: the operation that `.op` returns, for results of assignments.

        Raises:
            ArgumentError: an argument of the wrong kind.
        """
        if isinstance(variable, tf.distribute.DistributedValues):
            cls = _distributed_class(type(variable))
        return cls(variable, quantizer, precision, op)

    @property
    def latent_variable(self) -> tf.Variable:
        return self._latent

    # In the instance's `__dict__` where there is one: programs written for Larq tell
    # quantized variables from others by `"quantizer" in variable.__dict__`.
    quantizer = None

    @property
    def precision(self) -> int | None:
        return self._precision or getattr(self.quantizer, "precision", None)

    def read_through(self, quantizer) -> None:
        """From now on, reads in scope pass through this callable (None: latent values).

        For layers whose quantizers are known only after their weights are made.
        """
        self.__dict__.pop("quantizer", None)
        if quantizer is not None:
            self.__dict__["quantizer"] = quantizer

    # Reads.

    def _read(self, tensor) -> tf.Tensor:
        if self.quantizer is None or not context.should_quantize():
            return tensor
        return self.quantizer(tensor)

    def value(self, *args, **kwargs):
        return self._read(self._latent.value(*args, **kwargs))

    def read_value(self):
        return self._read(self._latent.read_value())

    def numpy(self):
        return self.read_value().numpy()

    def eval(self, session=None):
        return self.read_value().eval(session=session)

    def initialized_value(self):
        return self._read(self._latent.initialized_value())

    @property
    def initial_value(self):
        return self._read(self._latent.initial_value)

    def sparse_read(self, indices, name=None):
        # A quantizer may depend on the whole tensor (a scale, a threshold). The reshape
        # turns the sparse gradient of the gather into one that quantizers can take.
        value = self.read_value()
        return tf.gather(tf.reshape(value, tf.shape(value)), indices, name=name)

    def gather_nd(self, indices, name=None):
        return tf.gather_nd(self.read_value(), indices, name=name)

    def _dense_var_to_tensor(self, dtype=None, name=None, as_ref=False):
        if as_ref:
            raise LatentWeightError(
                f"Variable {self.name}: a quantized view has no reference tensor."
            )
        tensor = tf.convert_to_tensor(self._latent, dtype=dtype, name=name)
        return self._read(tensor)

    def __tf_tensor__(self, dtype=None, name=None):
        return self._dense_var_to_tensor(dtype=dtype, name=name)

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        if dtype is not None and dtype != array.dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    @property
    def constraint(self):
        constraint = self._latent.constraint
        if constraint and self.quantizer is not None and context.should_quantize():
            raise LatentWeightError(
                f"Variable {self.name}: an optimizer step inside "
                "lq.context.quantized_scope(True) would apply the constraint "
                f"{type(constraint).__name__} to quantized values and overwrite the "
                "latent weights with them.\n"
                "  Fix: compile the model again and train outside of the scope; "
                "layers quantize their kernels by themselves."
            )
        return constraint

    # Writes go to the latent variable and give back a view.

    def _write(self, method: str, *args, **kwargs):
        result = getattr(self._latent, method)(*args, **kwargs)
        if kwargs.get("read_value") is False:
            return result
        if result is self._latent or tf.executing_eagerly():
            return self
        return type(self).from_variable(
            self._latent, self.quantizer, self._precision, op=result
        )

    def assign(self, value, use_locking=None, name=None, read_value=True):
        return self._write("assign", value, use_locking, name, read_value=read_value)

    def assign_add(self, delta, use_locking=None, name=None, read_value=True):
        return self._write(
            "assign_add", delta, use_locking, name, read_value=read_value
        )

    def assign_sub(self, delta, use_locking=None, name=None, read_value=True):
        return self._write(
            "assign_sub", delta, use_locking, name, read_value=read_value
        )

    @property
    def op(self):
        return self._latent.op if self._assign_op is None else self._assign_op

    def _as_graph_element(self):
        element = self._latent._as_graph_element()
        return self._assign_op if element is None else element

    # What TensorFlow asks of a variable: tracing, copies, checkpoints, SavedModels.

    def __tf_tracing_type__(self, tracing_context):
        return _IdentityTraceType(self)

    def __deepcopy__(self, memo):
        copied = type(self).from_variable(
            copy.deepcopy(self._latent, memo),
            copy.deepcopy(self.quantizer, memo),
            self._precision,
        )
        memo[id(self)] = copied
        return copied

    def _should_act_as_resource_variable(self):
        """Its presence makes TensorFlow treat the view as a resource variable."""

    def _gather_saveables_for_checkpoint(self):
        return self._latent._gather_saveables_for_checkpoint()

    def _export_to_saved_model_graph(self, object_map, tensor_map, options, **kwargs):
        resources = self._latent._export_to_saved_model_graph(
            object_map, tensor_map, options, **kwargs
        )
        object_map[self] = object_map[self._latent]
        return resources

    def _copy_trackable_to_cpu(self, object_map):
        self._latent._copy_trackable_to_cpu(object_map)
        if self not in object_map:
            object_map[self] = type(self).from_variable(
                object_map[self._latent], self.quantizer, self._precision
            )

    @property
    def _handle_name(self):
        return self._latent._handle_name

    @_handle_name.setter
    def _handle_name(self, handle_name):
        self._latent._handle_name = handle_name

    @property
    def _initializer_op(self):
        return self._latent._initializer_op

    @_initializer_op.setter
    def _initializer_op(self, operation):
        self._latent._initializer_op = operation

    def __getattr__(self, name):
        if name == "_latent":  # not constructed yet (unpickling, copying)
            raise AttributeError(name)
        return getattr(self._latent, name)

    def __repr__(self):
        parts = [f"shape={self.shape}", f"dtype={self.dtype.name}"]
        if self.quantizer is not None:
            name = getattr(self.quantizer, "__name__", None)
            parts.append(f"quantizer={name or type(self.quantizer).__name__}")
        if self.precision is not None:
            parts.append(f"precision={self.precision}")
        if tf.executing_eagerly() and not getattr(self, "_in_graph_mode", False):
            parts.append(f"numpy={self.numpy()!r}")
        return f"<QuantizedVariable '{self.name}' {' '.join(parts)}>"


def _forwarded_property(name: str) -> property:
    return property(lambda self: getattr(self._latent, name))


def _forwarded_method(name: str):
    def method(self, *args, **kwargs):
        return getattr(self._latent, name)(*args, **kwargs)

    method.__name__ = name
    return method


def _forwarded_write(name: str):
    def method(self, *args, **kwargs):
        return self._write(name, *args, **kwargs)

    method.__name__ = name
    return method


# `tf.Variable` defines these itself, so `__getattr__` is not asked for them.
FORWARDED_PROPERTIES = (
    *("trainable", "synchronization", "aggregation", "name", "_shared_name"),
    *("initializer", "device", "dtype", "graph", "shape"),
)
FORWARDED_METHODS = ("set_shape", "get_shape", "load", "to_proto", "count_up_to")
FORWARDED_WRITES = (
    *("scatter_sub", "scatter_add", "scatter_max", "scatter_min", "scatter_mul"),
    *("scatter_div", "scatter_update", "batch_scatter_update"),
    *("scatter_nd_sub", "scatter_nd_add", "scatter_nd_update"),
)
for _name in FORWARDED_PROPERTIES:
    setattr(QuantizedVariable, _name, _forwarded_property(_name))
for _name in FORWARDED_METHODS:
    setattr(QuantizedVariable, _name, _forwarded_method(_name))
for _name in FORWARDED_WRITES:
    setattr(QuantizedVariable, _name, _forwarded_write(_name))


@functools.cache
def _distributed_class(variable_class: type) -> type:
    """A subclass of both, so that `tf.distribute` sees one of its own variables.

    Distributed variables define operators that read one replica directly; those
    of `tf.Variable`, which read through `value()`, take their place.
    """
    operators = {
        name: getattr(tf.Variable, name)
        for name in (*tf.Tensor.OVERLOADABLE_OPERATORS, "__getitem__")
        if hasattr(tf.Variable, name)
    }
    bases = (QuantizedVariable, variable_class)
    return type("QuantizedDistributedVariable", bases, operators)
