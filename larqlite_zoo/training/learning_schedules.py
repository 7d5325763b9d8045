"""Learning rates as functions of the step, as Keras schedules that files can hold.

A saved model holds its schedule, so they are registered by `import larqlite_zoo` alone.
"""

from larqlite_zoo._learning_schedules import (
    CosineDecayWithWarmup,
    LinearCosineDecay,
    R2BStepSchedule,
)

__all__ = ["CosineDecayWithWarmup", "R2BStepSchedule", "LinearCosineDecay"]
