"""What was found for an argument is remembered, as long as that is little: who asks asks for the same again."""

from collections.abc import Callable
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Remembered(dict[Key, Value]):
    """A function's results by its argument: `most` of them, then none, and none of a long argument.

    A cache that counts only its entries (functools.lru_cache) is as large as clients make what they say.
    """

    def __init__(self, find: Callable[[Key], Value], most: int = 512, longest: int = 2048) -> None:
        """`longest` are the characters that an argument has as `repr` writes it."""
        super().__init__()
        self._find = find
        self._most = most
        self._longest = longest

    def __missing__(self, key: Key) -> Value:
        """Find it; what the function raises is raised again each time."""
        found = self._find(key)
        if len(repr(key)) <= self._longest:
            if len(self) >= self._most:
                self.clear()
            self[key] = found
        return found
