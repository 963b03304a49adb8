"""What every device owes its callers: one function on NumPy, on torch wherever its arrays lie, and in a graph."""

from __future__ import annotations

import inspect
import shutil
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hardware_samples import DEVICES, conv, layers, linear

from codesign_gym.simulators.hardware.device import Device, load
from codesign_gym.simulators.hardware.model import Costs
from codesign_gym.simulators.hardware.rounding import EXACT, RELAXED, Rounding
from codesign_gym.simulators.networks.layers import Layers, Op

torch = pytest.importorskip("torch")

PRODUCT = {"op": Op.MATMUL, "in_channels": 64, "out_channels": 32, "in_height": 10, "out_height": 10, "groups": 2}
#: A row of every operator: each asks another branch of a model.
TABLE = layers(
    conv(14, 3, 96, 3, stride=2),
    conv(14, 24, 24, 3, groups=24),
    linear(300, 77),
    PRODUCT,
    *({**conv(8, 8, 8, 3), "op": op} for op in (Op.POOL, Op.NORM, Op.ELEMENTWISE, Op.ACTIVATION)),
    {"op": Op.EMBEDDING, "out_channels": 16, "extra_parameters": 160},
)
ROUNDINGS = {"exact": EXACT, "relaxed": RELAXED}
#: A device of every model: graphs take seconds.
ONE_OF_EACH = list({type(load(name).model): name for name in DEVICES}.values())

Form = Callable[[Any], Costs]


def designs(device: Device) -> Any:
    """Whole bitwidths in floating point, shape (2, layers, 2)."""
    random = np.random.default_rng(3)
    return random.integers(device.min_bits, device.max_bits + 1, (2, len(TABLE.op), 2)).astype(np.float64)


def form(device: Device, table: Layers, like: Any, rounding: Rounding) -> Form:
    """The part of a model that takes bitwidths to costs: all of it, or what follows its search."""
    model: Any = device.model
    table = table.with_batch(device.batch)
    if hasattr(model, "lower"):
        lowered, cost = model.lower(table, like), getattr(model, "cost_lowered", None) or model.cost_of
        return lambda bits: cost(lowered, bits, rounding)  # type: ignore[no-any-return]
    beside = table.map(lambda column: torch.asarray(np.array(column), device=like.device))
    return lambda bits: model.cost(beside, bits, rounding)  # type: ignore[no-any-return]


def columns(costs: Costs) -> dict[str, Any]:
    found = {"latency_s": costs.latency_s, "size_bytes": costs.size_bytes, **costs.detail}
    return found if costs.energy_j is None else found | {"energy_j": costs.energy_j}


def assert_equal(found: Costs, expected: Costs, **tolerance: float) -> None:
    for name, column in columns(found).items():
        want = torch.as_tensor(columns(expected)[name])
        torch.testing.assert_close(column.cpu(), want, msg=lambda text, name=name: f"{name}: {text}", **tolerance)


@pytest.mark.parametrize("name", DEVICES)
def test_rounding_is_an_argument(name: str) -> None:
    rounding = inspect.signature(load(name).model.cost).parameters["rounding"]
    assert rounding.default is EXACT


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("name", DEVICES)
def test_no_number_leaves_its_processor(name: str, rounding: str) -> None:
    """On a device without values: reading one, or meeting an array that lies elsewhere, is an error there."""
    device = load(name)
    bits = torch.empty(designs(device).shape, dtype=torch.float64, device="meta")
    costs = form(device, TABLE, bits, ROUNDINGS[rounding])(bits)
    assert {name: str(column.device) for name, column in columns(costs).items()} == dict.fromkeys(
        columns(costs), "meta"
    )


@pytest.mark.parametrize("name", DEVICES)
def test_cuda_gives_the_same_numbers(name: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    device, bits = load(name), designs(load(name))
    on_gpu = device.cost(TABLE, torch.asarray(bits, device="cuda"))
    assert_equal(on_gpu, device.cost(TABLE, bits), rtol=1e-12, atol=0)
    assert on_gpu.latency_s.device.type == "cuda"


@pytest.mark.slow  # Dynamo takes seconds
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_one_graph_gives_the_same_numbers(name: str, rounding: str) -> None:
    device = load(name)
    bits = torch.asarray(designs(device))
    work = form(device, TABLE, bits, ROUNDINGS[rounding])

    def answer(bits: Any) -> list[Any]:
        return list(columns(work(bits)).values())

    torch.compiler.reset()
    for found, expected in zip(compiled(answer, fullgraph=True)(bits), answer(bits), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    "name",
    [
        name if name == "bismo-edge" else pytest.param(name, marks=pytest.mark.slow)
        for name in ONE_OF_EACH
        if not hasattr(load(name).model, "lower")
    ],
)
def test_rows_in_numpy_are_constants_of_a_compiled_graph(name: str) -> None:
    """As networks have them: only the bitwidths are tensors. By kernels where there is a C++ compiler."""
    device: Any = load(name)
    bits = torch.asarray(designs(device))
    table = TABLE.with_batch(device.batch)

    def latency(bits: Any) -> Any:
        return device.model.cost(table, bits, EXACT).latency_s

    torch.compiler.reset()
    backend = "eager" if shutil.which("g++") is None else "inductor"
    torch.testing.assert_close(compiled(latency, backend, fullgraph=True)(bits), latency(bits), rtol=1e-12, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ONE_OF_EACH if hasattr(load(name).model, "lower")])
def test_searches_run_beside_the_graph(name: str) -> None:
    """Asked whole, a model that searches is compiled around its search, whatever library its rows are of."""
    device: Any = load(name)
    bits = torch.asarray(designs(device))
    table = TABLE.with_batch(device.batch)
    expected = device.model.cost(table, bits).latency_s
    for rows in (table, table.map(lambda column: torch.asarray(np.array(column)))):

        def latency(bits: Any, rows: Layers = rows) -> Any:
            return 2 * device.model.cost(rows, bits, EXACT).latency_s

        torch.compiler.reset()
        asked = compiled(latency)
        torch.testing.assert_close(asked(bits), 2 * expected, rtol=0, atol=0)
        again = torch.full_like(bits, float(device.max_bits))
        torch.testing.assert_close(asked(again), latency(again), rtol=0, atol=0)


def compiled(work: Callable[..., Any], backend: str = "eager", **how: bool) -> Callable[..., Any]:
    """A function under ``torch.compile``, without the warnings that Dynamo gives as it traces."""
    inner = torch.compile(work, backend=backend, **how)

    def run(*args: Any) -> Any:
        with warnings.catch_warnings():  # array-api-compat remembers namespaces; Dynamo says that it traces through
            warnings.filterwarnings("ignore", message="Dynamo detected a call to a `functools.lru_cache`")
            warnings.filterwarnings("ignore", message="`torch.jit.script", category=DeprecationWarning)
            return inner(*args)

    return run
