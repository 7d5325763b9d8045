"""`verify(model, file)`: does a deployed file compute what its model does?"""

from larqlite.deploy.verifier._result import (
    Differences,
    LayerVerification,
    OutputVerification,
    PrecisionVerification,
    Verification,
    VerificationError,
)
from larqlite.deploy.verifier._verify import MOST_GIVEN, require_exact, verify

__all__ = [
    "MOST_GIVEN",
    "Differences",
    "LayerVerification",
    "OutputVerification",
    "PrecisionVerification",
    "Verification",
    "VerificationError",
    "require_exact",
    "verify",
]
