"""Shipped files with a mistake in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def edited(path: Path, shipped: Path, *keys: Any) -> Path:
    """A copy of a file with one entry set to the last of ``keys``, or removed where that is None."""
    content = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    *parents, last, value = keys
    entry = content
    for key in parents:
        entry = entry[key]
    if value is None:
        del entry[last]
    else:
        entry[last] = value
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
