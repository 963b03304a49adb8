"""The errors a user can cause: each is one line that names the mistake and, where there is one, the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CodesignError(Exception):
    """Base of every error that is the input's fault; the command line prints it without a traceback."""


class UnknownName(CodesignError):
    """An id or a name that nothing answers to."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        super().__init__("; ".join([f"unknown {kind} {name!r}{suggestion(name, known)}", *([hint] if hint else [])]))


class BadConfig(CodesignError):
    """A configuration that cannot be read or holds a bad value."""


class Infeasible(CodesignError):
    """A budget or floor that no design of the space meets."""


class UnsupportedNetwork(CodesignError):
    """A network with an operator, a shape or a size that cannot be modelled."""


class StorageError(CodesignError):
    """A folder or file that cannot be read or written, or is not what it should be."""


#: Names that an error message still lists whole.
MOST_LISTED = 64


def suggestion(name: str, known: Iterable[str]) -> str:
    """The tail of an error message: the nearest known name and all there are, or the nearest few of very many.

    Args:
        name: what was asked for.
        known: the names that exist.
    """
    names = sorted(set(known))
    listed = ", ".join(names) if len(names) <= MOST_LISTED else f"{len(names)} names"
    near = difflib.get_close_matches(name, names, n=1 if len(names) <= MOST_LISTED else 3, cutoff=0.5)
    if near:
        return f"; did you mean {' or '.join(map(repr, near))}? (known: {listed})"
    return f"; known: {listed}" if names else "; none are known"
