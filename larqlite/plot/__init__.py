"""Pictures of quantizers, weights, training curves, costs and results, for screen and paper.

Every function returns a `matplotlib.figure.Figure` of its own, and touches neither
pyplot nor the backend, so it works in a notebook, a server and a thread alike. What they
all take beside their content, such as `size` and `dpi`, is in `Look`.
"""

from larqlite.plot._accuracy import accuracy
from larqlite.plot._benchmark import benchmark
from larqlite.plot._costs import costs
from larqlite.plot._diagnosis import diagnosis
from larqlite.plot._drawing import require_picture as require_picture
from larqlite.plot._history import FLIP_RATIO as FLIP_RATIO, history
from larqlite.plot._integers import integers
from larqlite.plot._quantizer import quantizer
from larqlite.plot._search import search
from larqlite.plot._sensitivity import sensitivity
from larqlite.plot._verification import verification
from larqlite.plot._weights import weights
from larqlite_runtime.pictures import Look, darken

__all__ = [
    "Look",
    "accuracy",
    "benchmark",
    "costs",
    "darken",
    "diagnosis",
    "history",
    "integers",
    "quantizer",
    "search",
    "sensitivity",
    "verification",
    "weights",
]
