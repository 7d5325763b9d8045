"""`verify(model, file)`: does a deployed file compute what its model does?"""

from larqlite.deploy.verifier._result import (
    Differences,
    LayerVerification,
    OutputVerification,
    PrecisionVerification,
    Verification,
    VerificationError,
)
from larqlite.deploy.verifier._verify import (
    ABSOLUTE,
    BATCH_SIZE,
    MOST_GIVEN,
    TOLERANCE,
    require_exact,
    verify,
)

__all__ = [
    "ABSOLUTE",
    "BATCH_SIZE",
    "MOST_GIVEN",
    "TOLERANCE",
    "Differences",
    "LayerVerification",
    "OutputVerification",
    "PrecisionVerification",
    "Verification",
    "VerificationError",
    "require_exact",
    "verify",
]
