"""Which of a cost model's parameters can be fitted, and between which bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators.hardware.model import CostModel


@dataclass(frozen=True)
class Constant:
    """A free constant: its start, positive, and the bounds of its field."""

    name: str
    start: float
    low: float
    high: float


def real_constants(model: CostModel) -> dict[str, Constant]:
    """The fields of a model that can be fitted: real numbers that are not negative."""
    hints = get_type_hints(type(model), include_extras=True)
    found = {}
    for field in fields(model):  # type: ignore[arg-type]  # a protocol of dataclasses
        value = getattr(model, field.name)
        if _is_real(hints[field.name]) and isinstance(value, float) and value >= 0:
            low, high = _bounds(hints[field.name])
            found[field.name] = Constant(field.name, value, low, high)
    return found


def chosen_constants(model: CostModel, names: Sequence[str]) -> list[Constant]:
    """The named constants.

    Raises:
        BadConfig: for a name that the model does not have, has twice, or that is no real number.
    """
    real = real_constants(model)
    every = [field.name for field in fields(model)]  # type: ignore[arg-type]
    for name in names:
        if name not in every:
            raise BadConfig(f"free constant: {UnknownName('parameter', name, real)}")
        if name not in real:
            raise BadConfig(
                f"free constant {name!r} is not a real number; accepted: {', '.join(real) or 'none of this model'}"
            )
    return [real[name] for name in dict.fromkeys(names)]


def _is_real(hint: Any) -> bool:
    kind = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    return kind is float or (get_origin(kind) in (Union, UnionType) and float in get_args(kind))


def _bounds(hint: Any) -> tuple[float, float]:
    """Bounds of an annotated field; a strict one is kept at the distance of a rounding error."""
    low, high = 0.0, np.inf
    for part in getattr(hint, "__metadata__", ()):
        for bound in part.metadata if isinstance(part, FieldInfo) else [part]:
            match bound:
                case Gt(gt=limit) | Ge(ge=limit):
                    low = max(low, float(limit))  # type: ignore[arg-type]
                case Lt(lt=limit):
                    high = float(limit) * (1 - 1e-9)  # type: ignore[arg-type]
                case Le(le=limit):
                    high = float(limit)  # type: ignore[arg-type]
    return low, high
