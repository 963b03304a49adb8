"""What was searched for before: a batch is searched for only where it is new, and all of that together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memory(Generic[Key, Value]):
    """Values of the keys that were asked for last, as many as ``size``."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._known: dict[Key, Value] = {}  # the last asked for last

    def all(self, keys: Sequence[Key], find: Callable[[list[Key]], Iterable[Value]]) -> list[Value]:
        """The values of keys in turn; ``find`` is called once, with the different ones that are not known."""
        found = {key: self._known.pop(key) for key in dict.fromkeys(keys) if key in self._known}
        if missing := [key for key in dict.fromkeys(keys) if key not in found]:
            found.update(zip(missing, find(missing), strict=True))
        self._known.update(found)
        for key in list(self._known)[: -self.size]:
            del self._known[key]
        return [found[key] for key in keys]

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()
