"""The forked processes of `run_fork` are as fresh as new ones, and say what went wrong."""

import subprocess

import pytest


def test_a_fork_knows_nothing_of_this_process_and_failures_are_told(run_fork, tmp_path):
    printed = run_fork(
        """
        import os, pickle, sys
        class Mine: pass
        print([n for n in sys.modules if n.partition(".")[0].startswith("larqlite")])
        print(type(pickle.loads(pickle.dumps(Mine()))) is Mine, os.getcwd())
        print("tensorflow" in sys.modules, "pytest" in sys.modules, sys.stdin.read())
        from tensorflow.python.eager import context
        print(context.context()._initialized)
        """
    )
    assert printed.splitlines() == [
        "[]",
        f"True {tmp_path.resolve()}",
        "True False ",
        "False",
    ]
    with pytest.raises(pytest.fail.Exception, match=r"ended with 1:(.|\n)*some reason"):
        run_fork("raise RuntimeError('some reason')")
    with pytest.raises(pytest.fail.Exception, match="ended with -6"):
        run_fork("import os; os.abort()")
    with pytest.raises(pytest.fail.Exception, match="ended with 3"):
        run_fork("import sys; sys.exit(3)")
    with pytest.raises(subprocess.TimeoutExpired):
        run_fork("import time; time.sleep(100)", timeout=0.5)
    assert run_fork("print(2)") == "2\n"
