"""Machines that a deployed file runs on, and the one question to all of them: as in Keras?"""

from larqlite.deploy.targets._result import TargetRow, TargetsReport
from larqlite.deploy.targets._target import (
    DeployedNetwork,
    Target,
    TargetCost,
    TargetEngine,
    known,
    register,
)
from larqlite.deploy.targets._verify_on import verify_on

__all__ = [
    "DeployedNetwork",
    "Target",
    "TargetCost",
    "TargetEngine",
    "TargetRow",
    "TargetsReport",
    "known",
    "register",
    "verify_on",
]
