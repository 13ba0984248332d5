"""What long work says about itself while it goes on."""

from collections.abc import Callable

Report = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done and how much there is in all (0: not known)."""
