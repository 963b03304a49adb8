"""Exact and relaxed rounding: what they give, and that relaxed gradients are those of their own differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hardware_samples import conv, layers, linear
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.model import Costs, between
from codesign_gym.simulators.hardware.rounding import EXACT, RELAXED, Relaxed
from codesign_gym.simulators.hardware.verification import relaxation
from codesign_gym.simulators.hardware.verification.check import Check

torch = pytest.importorskip("torch")

few = settings(max_examples=100, deadline=None, derandomize=True)
whole = st.integers(1, 2**40)
positive = st.floats(1e-6, 1e12)
FLOAT64 = {"dtype": torch.float64}


@few
@given(whole=whole, part=whole)
def test_exact_ceilings_are_those_of_integers(whole: int, part: int) -> None:
    expected = -(-whole // part)
    for kind in (np.int64, np.float64):
        assert EXACT.ceil_div(np.array([whole], kind), np.array([part], kind))[0] == expected
        assert EXACT.ceil_div(np.array([whole], kind), part)[0] == expected
    assert EXACT.ceil_div(torch.tensor([whole], **FLOAT64), part)[0] == expected
    assert EXACT.ceil_div(torch.tensor([whole]), torch.tensor([part]))[0] == expected


def test_exact_ceilings_below_2_to_the_53() -> None:
    largest = 2**53 - 1
    for part in (2, 3, 2**26 + 1):
        assert EXACT.ceil_div(np.array([float(largest)]), float(part))[0] == -(-largest // part)


@pytest.mark.parametrize("rounding", [EXACT, RELAXED], ids=["exact", "relaxed"])
@pytest.mark.parametrize("library", [np.asarray, torch.asarray], ids=["numpy", "torch"])
@pytest.mark.parametrize("operation", ["ceil_div", "maximum", "minimum", "exceeds"])
def test_a_number_beside_an_array_is_an_array_of_it(rounding: Any, library: Any, operation: str) -> None:
    act = getattr(rounding, operation)
    values = library(np.array([0.5, 3.0, 40.0]))
    full = library(np.full(3, 3.0))
    np.testing.assert_array_equal(np.asarray(act(values, 3.0)), np.asarray(act(values, full)))
    np.testing.assert_array_equal(np.asarray(act(3.0, values)), np.asarray(act(full, values)))


@few
@given(left=positive, right=positive)
def test_relaxed_stays_within_its_bound_of_the_unrounded(left: float, right: float) -> None:
    a, slack = np.array([left]), 2 ** (1 / 16) * (1 + 1e-12)
    larger, smaller = max(left, right), min(left, right)
    assert larger * (1 - 1e-12) <= RELAXED.maximum(a, right)[0] <= larger * slack
    assert smaller / slack <= RELAXED.minimum(a, right)[0] <= smaller * (1 + 1e-12)
    assert max(1, left / right) * (1 - 1e-12) <= RELAXED.ceil_div(a, right)[0] <= max(1, left / right) * slack
    assert 0 <= RELAXED.exceeds(a, right)[0] <= 1


@few
@given(left=positive, right=positive)
def test_a_higher_power_comes_closer_to_exact(left: float, right: float) -> None:
    a = np.array([left])
    for operation in ("maximum", "minimum"):
        exact = getattr(EXACT, operation)(a, right)[0]
        far, near = (abs(getattr(Relaxed(p), operation)(a, right)[0] - exact) for p in (8.0, 64.0))
        assert near <= far + 1e-12 * exact


def test_relaxed_maxima_of_zero_have_finite_gradients() -> None:
    pair = torch.zeros(2, requires_grad=True, **FLOAT64)
    (RELAXED.maximum(pair[:1], pair[1:]) + RELAXED.minimum(pair[:1], pair[1:])).sum().backward()
    assert torch.isfinite(pair.grad).all()


WORDS = {"distribution_words_per_cycle": 60.3, "reduction_words_per_cycle": 66.4}
#: Device to real-valued settings of parameters at which gradients are taken, off every device's own.
POINTS: dict[str, dict[str, float]] = {
    "systolic-edge": {"clock_hz": 0.7e9, "rows": 21.3, "columns": 37.9, "dram_bytes_per_s": 9e9},
    "tpu-v1": {"clock_hz": 0.6e9, "rows": 55.1, "columns": 120.4, "dram_bytes_per_s": 5e9},
    "systolic-eyeriss": {"clock_hz": 0.2e9, "rows": 11.2, "columns": 13.7, "dram_bytes_per_s": 2e9},
    "bismo-edge": {"clock_hz": 2e8, "dm": 7.3, "dn": 5.8, "dk": 200.0, "read_bytes_per_s": 1e9},
    "haq-cloud": {"clock_hz": 2e8, "reduction_lanes": 150.0, "weight_bit_lanes": 201.0, "weight_stream": 11.0},
    "bitfusion": {
        "clock_hz": 4e8,
        "inputs": 15.7,
        "outputs": 32.3,
        "dram_bits_per_cycle": 190.2,
        "dram_j_per_bit": 1e-11,
    },
    "gemmini-16x16": {"clock_hz": 8e8, "dim": 15.8, "bus_bytes": 16.3, "store_cycles": 3.1, "overlap_exponent": 4.2},
    "fpga-ultra96": {"clock_hz": 2e8, "pf": 14.7, "pc": 30.2, "pv": 2.6, "ddr_bytes_per_s": 4e9},
    "nasa-chunked": {"clock_hz": 2e8, "conv_pes": 130.4, "conv_buffer_bytes": 9e4, "dram_bytes_per_s": 3e9},
    "accelbench-spring": {"clock_hz": 6e8, "pof": 7.3, "pif": 12.4, "pix": 2.6, "memory_bytes_per_s": 3e10},
    "tpu-v4": {"macs_per_s": 1e13, "bytes_per_s": 2e11, "tile_rows": 8.7, "tile_columns": 120.3},
    "zcu102-dnndk": {"ops_per_s": 1e12, "bytes_per_s": 8e9, "row_step": 7.3, "input_step": 15.1, "filter_step": 30.8},
    "nvidia-v100": {"ops_per_s_8": 4e13, "bytes_per_s": 6e11},
    "eyeriss-like": {"clock_hz": 1.9e8, "dram_bits_per_cycle": 31.7, "mac_j": 4e-13},
    "mesh-16x16": {"clock_hz": 4e8, "rows": 15.3, "columns": 17.9, "words_per_cycle": 14.2},
    "sigma-256": {"clock_hz": 4e8, "multipliers": 240.5, **WORDS},
    "magma-256": {"clock_hz": 4e8, "multipliers": 266.6, **WORDS, "tile_products": 13.3, "tile_columns": 9.6},
    "maeri-256": {"clock_hz": 4e8, "multipliers": 250.8, **WORDS},
}
#: Devices whose operands have one width, or widths in steps.
FIXED_WIDTHS = {"gemmini-16x16", "mesh-16x16", "sigma-256", "magma-256", "maeri-256"}
WITH_ENERGY = {"bitfusion", "fpga-ultra96", "nasa-chunked", "accelbench-spring", "eyeriss-like"}
DATAFLOWS: dict[str, list[dict[str, int]]] = {"systolic-edge": [{"dataflow": code} for code in range(3)]}


def differences(work: Callable[[Any], Any], at: Any) -> Any:
    """Central differences of a scalar function of a vector, relative steps of 1e-6."""
    steps = torch.diag(1e-6 * at)
    return torch.stack([(work(at + step) - work(at - step)) / (2 * step.sum()) for step in steps])


CASES = [(name, "latency_s", fixed) for name in POINTS for fixed in DATAFLOWS.get(name, [{}])]
CASES += [(name, "energy_j", {}) for name in POINTS if name in WITH_ENERGY]


@pytest.mark.parametrize(("name", "quantity", "fixed"), CASES, ids=str)
def test_relaxed_gradients_are_those_of_finite_differences(name: str, quantity: str, fixed: dict[str, int]) -> None:
    device, point = load(name), POINTS[name]
    table = layers(conv(28, 24, 96, 3), conv(14, 70, 70, 3, groups=70), conv(14, 64, 130, 1), linear(300, 77))
    table = table.map(lambda column: torch.asarray(np.array(column)))
    bits = torch.tensor([[4.4, 6.1], [7.2, 5.3], [3.7, 4.9], [5.4, 2.6]], **FLOAT64)

    def micro(numbers: Any) -> Any:
        knobs = dict(zip(point, numbers, strict=False))
        model: Any = replace(device.model, **knobs, **fixed)  # type: ignore[type-var]
        return 1e6 * getattr(model.cost(table, numbers[len(point) :].reshape(bits.shape), RELAXED), quantity).sum()

    at = torch.cat([torch.tensor(list(point.values()), **FLOAT64), bits.reshape(-1)]).requires_grad_()
    (gradient,) = torch.autograd.grad(micro(at), at)
    with torch.no_grad():
        expected = differences(micro, at)
    scale = micro(at).detach() / at.detach()  # of an elasticity of 1
    np.testing.assert_allclose((gradient / scale).numpy(), (expected / scale).numpy(), rtol=1e-5, atol=1e-8)
    assert (gradient[: len(point)] != 0).any()
    assert name in FIXED_WIDTHS or (gradient[len(point) :] > 0).any()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.floats(1.5, 8.5), st.floats(1.5, 8.5))
def test_between_whole_bitwidths_a_product_of_lines_is_itself(weight: float, activation: float) -> None:
    """Bilinear interpolation has no error where there is nothing to bend, and asks at whole bitwidths alone."""

    def at(bits: np.ndarray) -> Costs:
        assert (bits == np.round(bits)).all()
        assert ((bits >= 2) & (bits <= 8)).all()
        latency = (3 + bits[..., 0]) * (7 - bits[..., 1])
        return Costs(latency, bits[..., 0], energy_j=2 * latency, detail={"bits": bits[..., 1]})

    found = between(at, np.array([[weight, activation]]), range(2, 9))
    assert found.latency_s == pytest.approx((3 + weight) * (7 - activation), abs=1e-9)
    assert found.energy_j == pytest.approx(2 * found.latency_s)
    assert found.size_bytes == pytest.approx(weight)
    assert found.detail["bits"] == pytest.approx(activation)


def test_the_error_of_relaxing_is_reported_and_small() -> None:
    for found in relaxation.verify(Path("absent")):
        assert isinstance(found, Check)
        assert 0 < found.mape_percent <= found.bar.mape_percent, found.quantity
        assert found.passed, found.quantity
