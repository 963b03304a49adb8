"""Layer tables of torch networks, traced by torch.export; torch is imported when a network is."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.networks import rows
from codesign_gym.simulators.networks.layers import Network, network
from codesign_gym.simulators.networks.operands import Operand, Part
from codesign_gym.simulators.networks.torch_operators import FREE, ROWS, Call

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram
    from torch.fx import Node

LARGEST_INPUT = 2**28  # elements of the traced example, 1 GiB in float32


def from_torch(module: nn.Module, input_shape: Sequence[int], name: str | None = None) -> Network:
    """The layer table of a torch network, for one input, as it computes in evaluation mode.

    A CONV, LINEAR or EMBEDDING row has the qualified name of the submodule that owns its weight (of the
    parameter, where that is not called ``weight``); see :func:`module_path`. Attention becomes the rows
    ``scores``, ``softmax`` and ``values`` of its module, a recurrent layer a row a matrix with its ``gates``
    and ``state``. Parameters are counted in the row that uses them. What depends on parameters alone is
    computed once, not per input, and has no row.

    Args:
        module: takes one tensor; it is left as it was.
        input_shape: shape of one input without the batch dimension, e.g. ``(3, 224, 224)``.
        name: the network's name in the table and in messages; by default that of the module's class.

    Raises:
        UnsupportedNetwork: naming every operator outside the table with the module it is in; or if
            torch.export cannot trace the module, or no layer has weights, or a size is absurd.
    """
    name = type(module).__name__ if name is None else name
    where = f"network {name!r}"
    if not isinstance(input_shape, tuple | list):
        kind = type(input_shape).__name__
        raise UnsupportedNetwork(
            f"{where}: input_shape is a {kind}; accepted: the sizes of one input without the batch, as in (3, 224, 224)"
        )
    graph = _Graph(_export(module, tuple(input_shape), where), module)
    if unsupported := graph.unsupported():
        raise UnsupportedNetwork(f"{where}: unsupported operators: {', '.join(unsupported)}")
    named = [(row_name, part) for node in graph.calls() for row_name, part in graph.parts(node, where)]
    owned = [part.weight is not None for _, part in named]
    traced = network(name, [part.row for _, part in named], rows.unique([row_name for row_name, _ in named], owned))
    if not traced.layers.weighted.any():
        raise UnsupportedNetwork(f"{where} has no layer that can be quantized")
    return traced


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
    # A network that looks its input up in a table takes whole numbers.
    looks_up = any(isinstance(part, torch.nn.Embedding) for part in module.modules())
    try:
        with _evaluating(module), torch.no_grad(), _quiet():
            example = torch.zeros(1, *input_shape, dtype=like.dtype, device=like.device)
            try:
                return torch.export.export(module, (example,), strict=False)
            except Exception:
                if not looks_up:
                    raise
                return torch.export.export(module, (example.to(torch.int64),), strict=False)
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
        owner: the parameter or buffer that it is, or is a rearranged part of; "" for what is computed.
    """

    per_input: bool
    parameters: frozenset[str] = frozenset()
    owner: str = ""


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

    def parts(self, node: Node, where: str) -> list[tuple[str, Part]]:
        """The rows that a call becomes, with their names: of the weight's owner, else of the module called."""
        builder = ROWS.get(_operator(node))
        if builder is None:
            return []
        path, operator = _path(node), _operator(node).rpartition(".")[2]
        leaf = path and not any(self._module.get_submodule(path).children())
        label = path if leaf else f"{path}.{operator}".lstrip(".")
        try:
            parts = builder(Call(_operands(_arguments(node), self._operand), _shape(node)))
        except UnsupportedNetwork as error:
            raise UnsupportedNetwork(f"{where}: layer {label!r}: {error}") from error
        return [(self._row_name(part, path, label), part) for part in parts]

    def _row_name(self, part: Part, path: str, label: str) -> str:
        if part.weight is not None:
            owner, _, parameter = part.weight.owner.rpartition(".")
            return owner if parameter == "weight" else part.weight.owner
        return f"{path}.{part.suffix}".lstrip(".") if part.suffix else label

    def _operand(self, node: Node) -> Operand:
        origin, shape = self._origins[node], _shape(node)
        # A slice of a parameter holds fewer numbers than the parameter, an expanded one more.
        trained = {name: min(self._parameters[name], prod(shape)) for name in origin.parameters}
        return Operand(shape, origin.per_input, origin.owner, trained)

    def _origin(self, node: Node, is_input: bool) -> _Origin:
        if node.name in self._stored:
            name = self._stored[node.name]
            return _Origin(False, frozenset({name} & self._parameters.keys()), name)
        before = [self._origins[entry] for entry in node.all_input_nodes]
        if is_input or any(origin.per_input for origin in before):
            return _Origin(True)
        owner = before[0].owner if len(before) == 1 and _operator(node) in FREE else ""
        return _Origin(False, frozenset().union(*(origin.parameters for origin in before)), owner)


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


def _operands(value: Any, operand: Callable[[Node], Operand]) -> Any:
    """Arguments with an operand in place of every node."""
    from torch.fx import Node

    if isinstance(value, Node):
        return operand(value)
    if isinstance(value, dict):
        return {name: _operands(entry, operand) for name, entry in value.items()}
    return [_operands(entry, operand) for entry in value] if isinstance(value, list | tuple) else value


def _shape(node: Node) -> tuple[int, ...]:
    """Shape of a node's value, or of the first of several."""
    value = node.meta["val"]
    first = value[0] if isinstance(value, tuple | list) else value
    return tuple(int(size) for size in first.shape)
