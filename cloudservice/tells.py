"""How work tells what it does: who works gets these functions, and prints nothing itself."""

from collections.abc import Callable

Tell = Callable[[str], None]
"""Gets a line about what happens."""
Report = Callable[[str, int, int], None]
"""Gets what is done, how much of it is done, and of how much (0 where that is not known)."""
