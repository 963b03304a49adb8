"""The systolic array over a million (row, configuration) pairs, a network alone, and SCALE-Sim's time for one.

``CODESIGN_GYM_SCALESIM=1`` installs SCALE-Sim from its package, in a virtual environment of its own below
pytest's temporary folder (it needs an older NumPy), and runs the same rows; else that benchmark is skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from interleaved import seconds, speed

from codesign_gym.simulators import networks
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.hardware.device import Device
from codesign_gym.simulators.hardware.rounding import EXACT
from codesign_gym.simulators.hardware.sweep import Workload, evaluate, workload
from codesign_gym.simulators.hardware.systolic.cost import SCALE_SIM, Systolic
from codesign_gym.simulators.hardware.systolic.form import Product, lower
from codesign_gym.simulators.networks.layers import Layers

PAIRS = 1_000_000
BAR_BLOCKS = 2
BAR_COMPILED = 10
BAR_ALONE_US = 100
CALLS = 3000
SCALESIM_VARIABLE = "CODESIGN_GYM_SCALESIM"


@pytest.fixture(scope="module")
def device() -> Device:
    return devices.load("systolic-edge")


@pytest.fixture(scope="module")
def layers() -> Layers:
    return networks.load("resnet50").weighted().layers


@pytest.fixture(scope="module")
def bits(layers: Layers) -> np.ndarray:
    return np.full((len(layers.op), 2), 8)


def configurations(count: int) -> dict[str, np.ndarray]:
    """Random arrays in no order, every column of shape (count,)."""
    random = np.random.default_rng(0)
    return {
        "rows": random.integers(4, 257, count),
        "columns": random.integers(4, 257, count),
        "dataflow": random.integers(0, 3, count),
        "clock_hz": random.uniform(1e8, 1e9, count),
        "dram_bytes_per_s": random.uniform(1e9, 1e11, count),
    }


@pytest.fixture(scope="module")
def knobs(layers: Layers) -> dict[str, np.ndarray]:
    return configurations(PAIRS // len(layers.op))


def whole(device: Device, layers: Layers, bits: np.ndarray, knobs: dict[str, np.ndarray]) -> np.ndarray:
    """One call for all configurations: latency of the network on each."""
    model: Any = replace(device.model, **{name: column[:, None] for name, column in knobs.items()})  # type: ignore[type-var]
    return model.cost(layers, bits).latency_s.sum(-1)


def test_blocks_beside_plain_numpy(report, device: Device, layers: Layers, bits, knobs) -> None:
    """How ``sweep`` does it: in blocks that stay in the cache, those of one dataflow together.

    Every row of the network is costed here, as in the plain call; ``sweep`` itself costs rows that repeat once.
    """
    every = Workload(layers, bits, np.ones(len(layers.op)))
    work = workload(device, layers, bits)

    def plain() -> np.ndarray:
        return whole(device, layers, bits, knobs)

    def blocks() -> np.ndarray:
        return evaluate(device, every, knobs)["latency_s"]

    def swept() -> np.ndarray:
        return evaluate(device, work, knobs)["latency_s"]

    np.testing.assert_allclose(blocks(), plain(), rtol=1e-12)
    np.testing.assert_allclose(swept(), plain(), rtol=1e-12)
    once = speed(swept, plain, repeats=9)
    ratio = speed(blocks, plain, repeats=15)
    rate = PAIRS / least(blocks, calls=9)
    told = f"{rate:.3g}/s; {once:.3g} times with rows that repeat costed once"
    report(f"{PAIRS} pairs, NumPy in blocks over plain ({told})", ratio, BAR_BLOCKS, blocks)
    assert ratio >= BAR_BLOCKS


def test_a_compiled_kernel_beside_plain_numpy(report, device: Device, layers: Layers) -> None:
    """Every pair with a row and a configuration of its own, one fused kernel on up to two cores.

    Both are asked for latency: the kernel leaves out what that does not need, NumPy calculates all details. A kernel
    that returns those, too, is timed beside it.
    """
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("torch.compile needs a C++ compiler: no g++ and no clang++ on the path")
    random = np.random.default_rng(1)
    pick = random.integers(0, len(layers.op), PAIRS)
    product = Product(*(column[pick][:, None] for column in lower(np, layers, np.float64)))
    knobs = {name: column[:, None] for name, column in configurations(PAIRS).items()}
    bits = np.full((1, 2), 8.0)

    def costs(product: Product, bits: Any, knobs: dict[str, Any]) -> Any:
        model: Any = replace(device.model, **knobs)  # type: ignore[type-var]
        return model.cost_of(product, bits, EXACT)

    def latency(*operands: Any) -> Any:
        return costs(*operands).latency_s

    def everything(*operands: Any) -> Any:
        found = costs(*operands)
        return found.latency_s, *found.detail.values()

    def tensor(column: np.ndarray) -> torch.Tensor:
        """In float64 whatever it was: one type throughout lets the kernel use the processor's vectors."""
        return torch.as_tensor(column, dtype=torch.float64)

    tensors = (
        Product(*map(tensor, product)),
        tensor(bits),
        {name: tensor(column) for name, column in knobs.items()},
    )
    compiled, detailed = (torch.compile(asked, fullgraph=True) for asked in (latency, everything))
    ratios, told = {}, {}
    for threads in range(1, min(2, os.cpu_count() or 1) + 1):
        torch.set_num_threads(threads)  # the kernel is compiled for a number of threads
        with warnings.catch_warnings():  # array-api-compat remembers namespaces; Dynamo says that it traces through
            warnings.simplefilter("ignore")
            np.testing.assert_allclose(compiled(*tensors).numpy(), latency(product, bits, knobs), rtol=1e-14)
            np.testing.assert_array_equal(detailed(*tensors)[0], compiled(*tensors))
        ratios[threads], beside = (
            speed(lambda kernel=kernel: kernel(*tensors), lambda: latency(product, bits, knobs), repeats=9)
            for kernel in (compiled, detailed)
        )
        rate = PAIRS / least(lambda: compiled(*tensors), calls=20)
        told[threads] = f"{ratios[threads]:.3g} times, {beside:.3g} with all details, at best {rate:.3g}/s"
    ratio = max(ratios.values())  # a second thread is a loss where other work has the core
    report(
        f"{PAIRS} pairs, torch.compile over plain NumPy, by threads {told}",
        ratio,
        BAR_COMPILED,
        lambda: compiled(*tensors),
    )
    assert ratio >= BAR_COMPILED


def test_a_network_alone(report, device: Device, layers: Layers, bits) -> None:
    """ResNet-50's cost at one design; the least of many calls, which other work on the machine delays least.

    The network is one that was costed before, as in an environment's steps. Beside it a table never seen, which is
    lowered to products first, and one that was lowered by hand.
    """
    model: Any = device.model
    product, real = lower(np, layers, np.float64), bits.astype(np.float64)
    lowered = least(lambda: model.cost_of(product, real))
    tables = iter([layers.read_only() for _ in range(CALLS)])
    unseen = least(lambda: model.cost(next(tables), bits))
    cost = least(lambda: model.cost(layers, bits))
    told = f"a table never seen {1e6 * unseen:.3g}, its lowered table {1e6 * lowered:.3g}"
    what = f"microseconds for the cost of ResNet-50 ({told})"
    report(what, 1e6 * cost, BAR_ALONE_US, lambda: model.cost(layers, bits))
    assert 1e6 * cost <= BAR_ALONE_US


def least(work: Any, calls: int = CALLS) -> float:
    """The fastest of many calls, in seconds."""
    return min(seconds(work) for _ in range(calls))


SCALESIM_CONFIGURATION = """
[general]
run_name = run
[architecture_presets]
ArrayHeight: {rows}
ArrayWidth: {columns}
IfmapSramSzkB: 64
FilterSramSzkB: 64
OfmapSramSzkB: 64
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Dataflow: os
Bandwidth: 10
ReadRequestBuffer: 64
WriteRequestBuffer: 64
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""
SCALESIM_RUN = """
import sys, time
from scalesim.scale_sim import scalesim
folder = sys.argv[1]
run = scalesim(save_disk_space=True, verbose=False, config=folder + "/run.cfg", topology=folder + "/rows.csv",
               layout=folder + "/layout.csv", input_type_gemm=True)
start = time.perf_counter()
run.run_scale(top_path=folder + "/out")
print("seconds", time.perf_counter() - start)
"""


@pytest.mark.skipif(
    os.environ.get(SCALESIM_VARIABLE) != "1", reason=f"{SCALESIM_VARIABLE}=1 installs SCALE-Sim and runs it"
)
def test_a_network_beside_scale_sim(report, device: Device, tmp_path: Path) -> None:
    """The digits network on a 32 x 32 array: the same cycles, and how many times as fast."""
    layers = networks.load("digits-cnn").weighted().layers
    model: Any = replace(device.model, counting=SCALE_SIM)  # type: ignore[type-var]
    assert isinstance(model, Systolic)
    bits = np.full((len(layers.op), 2), 8)
    cycles, theirs_s = scale_sim(tmp_path, model, layers)
    np.testing.assert_array_equal(model.cost(layers, bits).detail["cycles"], cycles)
    ours_s = least(lambda: model.cost(layers, bits))
    report(
        f"digits-cnn, {1e6 * ours_s:.3g} us over SCALE-Sim's {theirs_s:.3g} s",
        theirs_s / ours_s,
        None,
        lambda: model.cost(layers, bits),
    )


def scale_sim(folder: Path, model: Systolic, layers: Layers) -> tuple[np.ndarray, float]:
    """Cycles of every row by SCALE-Sim in an environment of its own, and the seconds it took."""
    python = folder / "venv" / "bin" / "python"
    venv.create(folder / "venv", with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "scalesim==3.0.0", "numpy<2.4"], check=True)
    (folder / "run.cfg").write_text(SCALESIM_CONFIGURATION.format(rows=model.rows, columns=model.columns))
    sizes = enumerate(zip(*layers.gemm[1:], strict=True))
    (folder / "rows.csv").write_text("Layer,M,N,K,\n" + "".join(f"row{i},{m},{n},{k},\n" for i, (m, n, k) in sizes))
    (folder / "layout.csv").touch()
    command = [python, "-c", SCALESIM_RUN, folder]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    table = pd.read_csv(folder / "out" / "run" / "COMPUTE_REPORT.csv", skipinitialspace=True)
    printed = table["Total Cycles"].to_numpy() - table["Stall Cycles"].to_numpy()
    return (printed + 1) * np.asarray(layers.gemm.count), float(output.split()[-1])
