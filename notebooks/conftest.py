"""Notebooks run in kernels that are forks of a process which has imported TensorFlow.

The import was a third of the time of a notebook.
"""

import pytest

from tests import forks


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    """Runs a notebook."""
    with forks.shared().kernels():
        return (yield)
