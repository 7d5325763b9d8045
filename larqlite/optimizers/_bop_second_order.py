"""Bop2ndOrder: Bop whose averages are divided by the root of those of their squares."""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf

from larqlite._registration import register_object
from larqlite.optimizers._bop import Bop
from larqlite.optimizers._hyperparameters import Schedule, scalar_variable

__all__ = ["Bop2ndOrder"]

_EPSILON = 1e-10


@register_object(aliases=("bop_2nd_order",))
class Bop2ndOrder(Bop):
    r"""Binary optimizer: flips a weight when its normalized moving average says so.

    $$ m_t = m_{t-1} + \gamma (g_t - m_{t-1}) \qquad
       v_t = v_{t-1} + \sigma (g_t^2 - v_{t-1}) $$

    $$ w_t = \begin{cases}
        -\operatorname{sign}(w_{t-1}) & w_{t-1} \hat m_t / (\sqrt{\hat v_t} + \epsilon) > \tau \\
        \operatorname{sign}(w_{t-1}) & \text{otherwise}
    \end{cases} $$

    with $m_0 = v_0 = 0$ and $\epsilon = 10^{-10}$; $\hat m_t = m_t$ and
    $\hat v_t = v_t$, or, `unbiased`, without the share that the start at 0 has in them:

    $$ \hat m_t = \frac{m_t}{1 - (1 - \gamma)^t} \qquad
       \hat v_t = \frac{v_t}{1 - (1 - \sigma)^t} $$

    where $\gamma$ and $\sigma$ are those of step $t$. All else is as in `Bop`.

    Args:
        threshold: $\tau \geq 0$, how strong the average must be to flip a weight, in
            units of the size of its gradients, or a `LearningRateSchedule`.
        gamma: $\gamma$ in [0, 1], how fast the average adapts, or a schedule.
        sigma: $\sigma$ in [0, 1], how fast that of the squares adapts, or a schedule.
        unbiased: whether both are corrected for their start.
        name: name of the optimizer.
        jit_compile: as in `Bop`.
        **kwargs: those of `Bop`.

    Raises:
        ArgumentError: a hyperparameter out of its range, a learning rate, a weight
            decay.
        KerasVersionError: a schedule that belongs to Keras 3.

    Example:
        >>> bop = lq.optimizers.Bop2ndOrder(threshold=0.5, gamma=0.5, sigma=0.5)
        >>> kernel = tf.Variable([1.0, 1.0, -1.0])
        >>> gradient = tf.constant([1e-3, -0.1, 0.0])
        >>> _ = bop.apply_gradients([(gradient, kernel)])
        >>> kernel.numpy().tolist()  # m / sqrt(v) is 0.7 of the first, however small
        [-1.0, 1.0, -1.0]

    References:
        A Bop and Beyond: A Second Order Optimizer for Binarized Neural Networks,
        https://arxiv.org/abs/2104.05124, section 4.
    """

    def __init__(
        self,
        threshold: float | Schedule = 1e-6,
        gamma: float | Schedule = 1e-7,
        sigma: float | Schedule = 1e-3,
        unbiased: bool = False,
        name: str = "Bop2ndOrder",
        jit_compile: bool = True,
        **kwargs,
    ):
        super().__init__(threshold, gamma, name, jit_compile, **kwargs)
        self._sigma_schedule, value = self._parsed("sigma", sigma)
        self._sigma = scalar_variable("sigma", value)
        self.unbiased = bool(unbiased)

    @property
    def sigma(self) -> tf.Variable:
        """The scalar variable with the adaptivity rate of the squares in use."""
        return self._sigma

    @sigma.setter
    def sigma(self, value: float | Schedule) -> None:
        self._sigma_schedule, number = self._parsed("sigma", value)
        self._sigma.assign(number)

    def build(self, var_list: Iterable[tf.Variable]) -> None:
        """Creates two moving averages per variable; a second call does nothing."""
        var_list = list(var_list)
        is_new = not getattr(self, "_built", False)
        super().build(var_list)
        if is_new:
            self._square_averages = [
                self.add_variable_from_reference(variable, "square_average")
                for variable in var_list
            ]

    @property
    def _hyperparameters(self) -> tuple[str, ...]:
        return (*super()._hyperparameters, "sigma")

    def _evidence(self, variable, gradient, average):
        squares = self._square_averages[self._index_dict[self._var_key(variable)]]
        old, sigma = (tf.cast(x, gradient.dtype) for x in (squares, self._sigma))
        new = old + sigma * (gradient * gradient - old)
        squares.assign(tf.cast(new, squares.dtype))
        if self.unbiased:
            average = tf.math.divide_no_nan(average, self._weight_of_all(self._gamma))
            new = tf.math.divide_no_nan(new, self._weight_of_all(self._sigma))
        return average / (tf.sqrt(new) + _EPSILON)

    def _weight_of_all(self, rate: tf.Variable) -> tf.Tensor:
        """1 - (1 - rate)^t, also for rates that are lost beside 1."""
        steps = tf.cast(self.iterations + 1, rate.dtype)
        return -tf.math.expm1(steps * tf.math.log1p(-rate))

    def get_config(self) -> dict:
        """The arguments that make an equal optimizer, without its state."""
        return {**super().get_config(), "unbiased": self.unbiased}
