"""The larger commands of `lq`, a folder each: what its words mean, and what it does.

`_options` has a dataclass whose fields are the flags; `__init__` gives it a `run()`, which
imports `_run`, where the work is; short work, as that of `deploy`, stands in `run()` itself.
No TensorFlow is imported before `run()`, so that a mistake in the words is answered at once.
"""
