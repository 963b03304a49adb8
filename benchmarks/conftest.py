"""One thread, and a place where benchmarks report their ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Torch on one thread; NumPy's elementwise work has only one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def report(benchmark, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Times ``work`` once for pytest-benchmark's table, keeps the ratio beside it, and prints the ratio."""

    def keep(what: str, ratio: float, bar: float | None, work: Callable[[], object]) -> None:
        benchmark.extra_info |= {"what": what, "ratio": ratio, "bar": bar}
        benchmark.pedantic(work, rounds=3)
        with capsys.disabled():
            print(f"\n{what}: {ratio:.3g}" + ("" if bar is None else f" (bar {bar:g})"))

    return keep
