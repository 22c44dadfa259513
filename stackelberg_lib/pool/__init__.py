"""Which labels to buy out of a pool."""

from stackelberg_lib.pool.strategies import propose

__all__ = ["propose"]
