"""Nested state (parameters, optimizers) as flat arrays and plain JSON, so that reading it executes no code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def flatten(tree: Any, prefix: str, arrays: dict[str, np.ndarray]) -> Any:
    """A JSON-able skeleton of ``tree``; its arrays and tensors go into ``arrays`` under ``prefix``."""
    if isinstance(tree, torch.Tensor):
        arrays[prefix] = tree.detach().cpu().numpy().copy()
        return {"tensor": prefix}
    if isinstance(tree, np.ndarray):
        arrays[prefix] = np.ascontiguousarray(tree).reshape(tree.shape)
        return {"array": prefix}
    if isinstance(tree, Mapping):
        return {"map": [[key, flatten(value, f"{prefix}.{key}", arrays)] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        kind = "list" if isinstance(tree, list) else "tuple"
        return {kind: [flatten(value, f"{prefix}.{i}", arrays) for i, value in enumerate(tree)]}
    if isinstance(tree, np.generic):
        return {"value": tree.item()}
    return {"value": tree}


def restore(skeleton: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    """The inverse of :func:`flatten`."""
    ((kind, content),) = skeleton.items()
    if kind == "tensor":
        return torch.from_numpy(np.array(arrays[content]))
    if kind == "array":
        return np.array(arrays[content])
    if kind == "map":
        return {key: restore(value, arrays) for key, value in content}
    if kind in ("list", "tuple"):
        items = [restore(value, arrays) for value in content]
        return items if kind == "list" else tuple(items)
    return content
