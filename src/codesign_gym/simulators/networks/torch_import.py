"""Layer tables of torch networks, traced by torch.export; torch is imported when a network is."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.networks.layers import Network, network
from codesign_gym.simulators.networks.rows import Row
from codesign_gym.simulators.networks.torch_operators import FREE, ROWS, WEIGHTED, Call

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram
    from torch.fx import Node

LARGEST_INPUT = 2**28  # elements of the traced example, 1 GiB in float32


def from_torch(module: nn.Module, input_shape: Sequence[int], name: str) -> Network:
    """The layer table of a torch network, for one input, as it computes in evaluation mode.

    A CONV or LINEAR row has the qualified name of the submodule that owns its weight (of the parameter,
    where that is not called ``weight``); see :func:`module_path`. Parameters are counted in the row
    that uses them. What depends on parameters alone is computed once, not per input, and has no row.

    Args:
        module: takes one tensor; it is left as it was.
        input_shape: shape of one input without the batch dimension, e.g. ``(3, 224, 224)``.
        name: the network's name in the table and in messages.

    Raises:
        UnsupportedNetwork: naming every operator outside the table with the module it is in; or if
            torch.export cannot trace the module, or no layer has weights, or a size is absurd.
    """
    where = f"network {name!r}"
    graph = _Graph(_export(module, tuple(input_shape), where), module)
    if unsupported := graph.unsupported():
        raise UnsupportedNetwork(f"{where}: unsupported operators: {', '.join(unsupported)}")
    calls = [node for node in graph.calls() if _operator(node) in ROWS]
    weighted = [_operator(node) in WEIGHTED for node in calls]
    if not any(weighted):
        raise UnsupportedNetwork(f"{where} has no layer that can be quantized")
    layer_names = [graph.row_name(node, where) for node in calls]
    return network(name, [graph.row(node, where) for node in calls], _unique(layer_names, weighted))


def module_path(layer_name: str) -> str:
    """The qualified name behind a row's name: without the ``#2`` of a module called twice."""
    return re.sub(r"#\d+$", "", layer_name)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, with every submodule's own mode restored afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings, log lines or graphs on standard error: torch prints them beside the error it raises."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _export(module: nn.Module, input_shape: tuple[int, ...], where: str) -> ExportedProgram:
    import torch

    if not isinstance(module, torch.nn.Module):
        raise UnsupportedNetwork(f"{where} is a {type(module).__name__}; accepted: a torch.nn.Module")
    if not all(isinstance(size, int) and size > 0 for size in input_shape) or prod(input_shape) > LARGEST_INPUT:
        raise UnsupportedNetwork(
            f"{where}: input_shape is {list(input_shape)}; accepted: positive sizes of at most 2**28 elements in all"
        )
    like = next((part for part in module.parameters() if part.is_floating_point()), torch.empty(0))
    try:
        with _evaluating(module), torch.no_grad(), _quiet():
            example = torch.zeros(1, *input_shape, dtype=like.dtype, device=like.device)
            return torch.export.export(module, (example,), strict=False)
    except Exception as error:  # whatever the module's own code raises surfaces here, as does torch.export's
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
        raise UnsupportedNetwork(
            f"{where}: torch.export cannot trace it on an input of {[1, *input_shape]}: "
            f"{type(error).__name__}: {reason}"
        ) from error


@dataclass(frozen=True)
class _Origin:
    """Where a value comes from.

    Attributes:
        per_input: whether it depends on the network's input.
        parameters: if not, the parameters that it depends on.
    """

    per_input: bool
    parameters: frozenset[str] = frozenset()


class _Graph:
    """A traced network: what each of its nodes is, in terms of the module it was traced from."""

    def __init__(self, exported: ExportedProgram, module: nn.Module) -> None:
        signature = exported.graph_signature
        self._module = module
        self._parameters = {name: value.numel() for name, value in exported.named_parameters()}
        self._stored = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        self._origins: dict[Node, _Origin] = {}
        for node in exported.graph.nodes:
            self._origins[node] = self._origin(node, node.name in signature.user_inputs)

    def calls(self) -> list[Node]:
        """The operator calls that happen for every input, in order."""
        return [node for node, origin in self._origins.items() if node.op == "call_function" and origin.per_input]

    def unsupported(self) -> list[str]:
        """Operators outside the tables and the module each is in, without repetition."""
        outside = [node for node in self.calls() if _operator(node) not in ROWS and _operator(node) not in FREE]
        return list(dict.fromkeys(f"{_operator(node)} in {_path(node) or 'the top module'}" for node in outside))

    def row_name(self, node: Node, where: str) -> str:
        """The weight's owner for a row with weights; else the module, with the operator where it has parts."""
        if _operator(node) in WEIGHTED:
            weight = _arguments(node)["weight"]
            if weight.name not in self._stored:
                raise UnsupportedNetwork(
                    f"{where}: the weights of {_operator(node)} in {_path(node) or 'the top module'} are computed "
                    "in the forward pass; accepted: stored parameters"
                )
            qualified: str = self._stored[weight.name]
            owner, _, parameter = qualified.rpartition(".")
            return owner if parameter == "weight" else qualified
        path = _path(node)
        leaf = path and not any(self._module.get_submodule(path).children())
        return path if leaf else f"{path}.{_operator(node).rpartition('.')[2]}".lstrip(".")

    def row(self, node: Node, where: str) -> Row:
        """The node's row of the layer table."""
        arguments = _arguments(node)
        weight = arguments["weight"] if _operator(node) in WEIGHTED else None
        trained = {
            name for entry in node.all_input_nodes if entry is not weight for name in self._origins[entry].parameters
        }
        call = Call(
            input_shape=_shape(node.all_input_nodes[0]),
            output_shape=_shape(node),
            weight_shape=() if weight is None else _shape(weight),
            extra_parameters=sum(self._parameters[name] for name in trained),
            arguments=arguments,
        )
        try:
            return ROWS[_operator(node)](call)
        except UnsupportedNetwork as error:
            raise UnsupportedNetwork(f"{where}: layer {self.row_name(node, where)!r}: {error}") from error

    def _origin(self, node: Node, is_input: bool) -> _Origin:
        if node.name in self._stored:
            name = self._stored[node.name]
            return _Origin(False, frozenset({name} & self._parameters.keys()))
        before = [self._origins[entry] for entry in node.all_input_nodes]
        if is_input or any(origin.per_input for origin in before):
            return _Origin(True)
        return _Origin(False, frozenset().union(*(origin.parameters for origin in before)))


def _operator(node: Node) -> str:
    """``aten.relu`` for each overload of ``relu`` and of the in-place ``relu_``."""
    packet = getattr(node.target, "overloadpacket", None)
    name = str(packet) if packet is not None else getattr(node.target, "__name__", str(node.target))
    return re.sub(r"(?<=[^_])_$", "", name)


def _path(node: Node) -> str:
    """Qualified name of the innermost module that the call happens in; "" for the top."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


def _arguments(node: Node) -> dict[str, Any]:
    """The call's arguments by the names of the operator's schema."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    given = {**dict(zip((argument.name for argument in schema), node.args, strict=False)), **node.kwargs}
    return {argument.name: given.get(argument.name, argument.default_value) for argument in schema}


def _shape(node: Node) -> tuple[int, ...]:
    """Shape of a node's value, or of the first of several."""
    value = node.meta["val"]
    first = value[0] if isinstance(value, tuple | list) else value
    return tuple(int(size) for size in first.shape)


def _unique(names: Sequence[str], first: Sequence[bool]) -> list[str]:
    """Names made unique by ``#2``, ``#3``, ...; those marked ``first`` are served before the others."""
    seen: Counter[str] = Counter()
    unique = list(names)
    for position in sorted(range(len(names)), key=lambda position: not first[position]):
        name = names[position]
        seen[name] += 1
        if seen[name] > 1:
            unique[position] = f"{name}#{seen[name]}"
    return unique
