"""What other packages of larqlite use of this one; it may change without notice."""

from larqlite.layers._base import may_starve, warn_of_starving
from larqlite.layers._padding import same_padding

__all__ = ["may_starve", "same_padding", "warn_of_starving"]
