"""larqlite."""
from larqlite import activations, constraints, context, math, quantizers, variables
