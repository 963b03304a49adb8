"""What a cost model is asked, looked at once: the boundary through which layers, bitwidths and knobs come in.

Every ``cost`` of a model here is :func:`checked`, and every ``cost_of`` :func:`checked_lowered`. Shapes are always
looked at, values wherever there are any (not while ``torch.compile`` traces, nor under ``vmap``). A network's own
columns are read-only, and sound since it was made; others are looked at every time, but not on another processor.
"""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from math import inf
from typing import Any, NamedTuple, TypeVar, cast, get_type_hints
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig, UnsupportedNetwork
from codesign_gym.simulators.hardware.host import beside, plain
from codesign_gym.simulators.networks import layers as tables
from codesign_gym.simulators.networks.layers import NUMBERS, Array, Layers

Method = TypeVar("Method", bound=Callable[..., Any])
Answer = TypeVar("Answer")


class Limits(NamedTuple):
    """The least and the greatest number accepted, and how to say it."""

    least: float
    most: float
    accepted: str
    names: tuple[str, ...] = ()  # of a choice by name, in the order of their positions


#: The largest number of a type and how to say it: an infinite rate or energy gives no cost. A machine without a limit
#: has a number beyond need.
MOST = {int: (tables.LARGEST, "at most 2**53"), float: (sys.float_info.max, "finite")}


def _limits(kind: type, gt: float = -inf, ge: float = -inf, lt: float = inf, le: float = inf) -> Limits:
    told = {"above": gt, "at least": ge, "below": lt, "at most": le}
    words = [f"{word} {value:g}" for word, value in told.items() if abs(value) < inf]
    most, said = MOST[kind]
    highest = le if lt == inf else min(le, math.nextafter(lt, -inf))
    if highest == inf:
        words.append(said)
    return Limits(max(ge, math.nextafter(gt, inf)), min(highest, most), ", ".join(words))


#: Bitwidths that anything is costed at; a device file states fewer.
BITS = _limits(float, gt=0, le=64)


def checked(cost: Method) -> Method:
    """A model's ``cost(layers, bits, ...)`` that refuses what is no layer, no bitwidth or no knob.

    The model is asked for one step of every row; its costs are multiplied by the steps that the row runs.
    NumPy bitwidths are brought to the library of a knob of torch, and layers of another library to the bitwidths'.

    Raises:
        UnsupportedNetwork: naming the column, the value, its row and what is accepted.
        BadConfig: the same of ``bits`` or a parameter, and for shapes that do not broadcast.
    """

    @wraps(cost)
    def asked(model: object, layers: Layers, bits: Array, *args: Any, **kwargs: Any) -> Any:
        steps = None if runs_once(layers) else layers.steps
        check_bits(bits, tuple(layers.op.shape))
        check_knobs(model, tuple(layers.op.shape), tuple(bits.shape[:-1]))
        if isinstance(bits, np.ndarray):
            knob = next((value for value in vars(model).values() if hasattr(value, "detach")), None)  # of torch
            bits = bits if knob is None else beside(bits, knob)
        if isinstance(layers.op, np.ndarray) != isinstance(bits, np.ndarray) and not hasattr(model, "lower"):
            layers = layers.map(lambda column: beside(plain(column), bits))  # who lowers rows brings them along itself
        if steps is None:
            return cost(model, layers, bits, *args, **kwargs)
        costs = cost(model, layers.one_step(), bits, *args, **kwargs)
        return costs.times(steps if isinstance(steps, type(costs.latency_s)) else beside(plain(steps), costs.latency_s))

    return cast(Method, asked)


def checked_lowered(column: str) -> Callable[[Method], Method]:
    """The same for ``cost_of(lowered, bits, ...)``, whose ``column`` of ``lowered`` has the shape (..., layers)."""

    def decorate(cost_of: Method) -> Method:
        @wraps(cost_of)
        def asked(model: object, lowered: Any, bits: Array, *args: Any, **kwargs: Any) -> Any:
            rows = tuple(getattr(lowered, column).shape)
            check_bits(bits, rows)
            check_knobs(model, rows, tuple(bits.shape[:-1]))
            return cost_of(model, lowered, bits, *args, **kwargs)

        return cast(Method, asked)

    return decorate


#: Tables of read-only columns that were looked at, and whether every row has one step: they stay as they are.
_KNOWN: WeakKeyDictionary[Layers, bool] = WeakKeyDictionary()


def check_layers(layers: Any) -> None:
    """Refuse what is no layer table; raises as :func:`checked`."""
    runs_once(layers)


def runs_once(layers: Any) -> bool:
    """Whether every row of a layer table is known to have one step; refuses what is none, as :func:`checked`."""
    if not isinstance(layers, Layers):
        hint = "its attribute layers" if hasattr(layers, "layers") else "Layers"
        raise UnsupportedNetwork(f"field 'layers' is a {type(layers).__name__}; accepted: {hint}")
    if is_tracing() or str(getattr(layers.op, "device", "cpu")) != "cpu":
        return False
    if (known := _KNOWN.get(layers)) is not None:
        return known
    once = isinstance(layers.steps, np.ndarray) and bool((layers.steps == 1).all())
    columns = vars(layers).values()
    fixed = all(isinstance(column, np.ndarray) and not column.flags.writeable for column in columns)
    if fixed and len({column.shape for column in columns}) == 1:
        _KNOWN[layers] = once
    else:
        tables.check(layers)
    return once


def remembered(work: Callable[[Layers], Answer]) -> Callable[[Layers], Answer]:
    """A function of layers whose answer is kept as long as the table lives, where its columns stay as they are."""
    answers: WeakKeyDictionary[Layers, Answer] = WeakKeyDictionary()

    @wraps(work)
    def answer(layers: Layers) -> Answer:
        if layers not in _KNOWN:
            return work(layers)
        if (known := answers.get(layers)) is None:
            known = answers[layers] = work(layers)
        return known

    return answer


def check_bits(bits: Array, rows: tuple[int, ...], accepted: Limits = BITS) -> None:
    """Refuse what are no bitwidths for layers of shape ``rows``; raises as :func:`checked`."""
    if not hasattr(bits, "shape"):
        raise BadConfig(f"field 'bits' is a {type(bits).__name__}; accepted: a NumPy or torch array")
    shape = tuple(bits.shape)
    if shape[-1:] != (2,) or (shape[:-1] != rows and (len(shape) < 2 or not fits(shape[:-1], rows))):
        raise BadConfig(
            f"bits have shape {shape} beside layers of shape {rows}; accepted: {(*rows, 2)}, and more axes in front"
        )
    if is_tracing():
        return
    if isinstance(bits, np.ndarray) and bits.dtype.kind not in "iuf":
        raise BadConfig(f"field 'bits' is of type {bits.dtype}; accepted: whole or real numbers")
    if within(bits, accepted):
        return
    widths = plain(bits)
    first = tuple(np.argwhere(_outside(widths, accepted))[0])
    operand = ("weights", "activations")[first[-1]]
    raise BadConfig(
        f"field 'bits' is {widths[first]:g}; accepted: {accepted.accepted} (the {operand} of layer {first[-2]})"
    )


def check_knobs(model: object, *shapes: tuple[int, ...]) -> None:
    """Refuse parameters of a model that its fields do not accept, or that do not broadcast with ``shapes``.

    Raises:
        BadConfig: naming the parameter.
    """
    values = vars(model)
    if is_tracing():
        arrays = {name: value for name, value in values.items() if not isinstance(value, (*NUMBERS, str, tuple))}
        for name in arrays:
            _check_shape(name, arrays, shapes)
        return
    knobs: dict[str, Array] = {}
    limited = bounds(type(model))  # type: ignore[arg-type]  # mypy takes classes to be unhashable
    for name, limits in limited.items():
        value = values[name]
        if not isinstance(value, NUMBERS):
            knobs[name] = value
        elif not limits[0] <= value <= limits[1]:
            raise BadConfig(f"parameter {name!r} is {value}; accepted: {limits.accepted}")
    for name, value in knobs.items():
        if not hasattr(value, "shape") or (isinstance(value, np.ndarray) and value.dtype.kind not in "biuf"):
            raise BadConfig(_no_number(name, value, limited[name]))
        _check_shape(name, knobs, shapes)
        if not within(value, limited[name]):
            numbers = plain(value).ravel()
            position = int(np.flatnonzero(_outside(numbers, limited[name]))[0])
            where = f" at position {position}" if numbers.size > 1 else ""
            raise BadConfig(f"parameter {name!r} is {numbers[position]:g}{where}; accepted: {limited[name].accepted}")


def _no_number(name: str, value: object, limits: Limits) -> str:
    """What is wrong with a parameter that is neither a number nor an array of them."""
    if not limits.names:
        kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        return f"parameter {name!r} is {kind}; accepted: a number, or an array of them"
    said = str(value.ravel()[0] if isinstance(value, np.ndarray) and value.size else value)
    near = difflib.get_close_matches(said, limits.names, n=1, cutoff=0.5)
    meant = f"; did you mean {limits.names.index(near[0])}, for {near[0]!r}?" if near else ""
    return f"parameter {name!r} is {said!r}; accepted: the position of a name, {limits.accepted}{meant}"


def _check_shape(name: str, knobs: Mapping[str, Array], shapes: tuple[tuple[int, ...], ...]) -> None:
    """Refuse an array of knobs whose shape does not broadcast with those of layers, bitwidths and other knobs."""
    shape = tuple(knobs[name].shape)
    others = [("layers and bits", other) for other in shapes]
    others += [(f"parameter {other!r}", tuple(getattr(knob, "shape", ()))) for other, knob in knobs.items()]
    for what, other in others:
        if not fits(shape, other):
            raise BadConfig(
                f"parameter {name!r} has shape {shape} beside {what} of shape {other}; accepted: shapes that "
                f"broadcast with (..., layers): a value a design has shape ({(*shape, 1)[0]}, 1)"
            )


@lru_cache(maxsize=128)
def bounds(model: type) -> Mapping[str, Limits]:
    """The limits of a model's numeric parameters, as its fields are annotated."""
    found: dict[str, Limits] = {}
    for name, hint in get_type_hints(model, include_extras=True).items():
        parts = [rule for part in getattr(hint, "__metadata__", ()) for rule in getattr(part, "metadata", ())]
        rules = {
            kind: getattr(rule, kind) for rule in parts for kind in ("gt", "ge", "lt", "le") if hasattr(rule, kind)
        }
        if rules and getattr(hint, "__origin__", None) in NUMBERS:
            found[name] = _limits(hint.__origin__, **rules)
        named = [
            part.func.names for part in getattr(hint, "__metadata__", ()) if hasattr(getattr(part, "func", 0), "names")
        ]
        if named:
            accepted = ", ".join(f"{position} ({one})" for position, one in enumerate(named[0]))
            found[name] = Limits(0, len(named[0]) - 1, accepted, named[0])
    return found


def _outside(values: NDArray[Any], limits: Limits) -> NDArray[np.bool_]:
    """Which values are not accepted, NaN among them."""
    return ~((values >= limits.least) & (values <= limits.most))


def fits(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two shapes broadcast."""
    return all(one == two or one == 1 or two == 1 for one, two in zip(reversed(shape), reversed(other), strict=False))


def is_tracing() -> bool:
    """Whether ``torch.compile`` is tracing, so that arrays have shapes and no values."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.compiler.is_compiling())


def within(array: Array, limits: Limits) -> bool:
    """Whether all of an array lies between two numbers; also where it has no values to look at."""
    if 0 in array.shape:
        return True
    least, most = limits.least, limits.most
    if isinstance(array, np.ndarray | np.generic):
        # The least of NaN and others is NaN; Python's own numbers are compared several times as fast.
        return bool(array.min().item() >= least and array.max().item() <= most)
    try:
        return bool(array.min().item() >= least and array.max().item() <= most)
    except RuntimeError:  # under vmap, or on a processor without values
        return True
