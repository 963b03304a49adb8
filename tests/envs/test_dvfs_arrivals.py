"""Arrival processes: rates, order, and independence of the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codesign_gym.envs.dvfs.arrivals import Arrivals, Bursty, Periodic, Poisson, Recorded, read_trace

SECONDS = 50.0
PROCESSES: dict[str, tuple[Arrivals, float]] = {
    "periodic": (Periodic(4.0, SECONDS, jitter=0.5), 4.0),
    "poisson": (Poisson(4.0, SECONDS), 4.0),
    "bursty": (Bursty(2.0, 10.0, 3.0, 1.0, SECONDS), 4.0),
    "recorded": (Recorded(np.arange(0, 400, 0.25), SECONDS), 4.0),
}


def uniform(process: Arrivals, batch: int) -> np.ndarray:
    return np.stack([np.random.default_rng(i).random(process.numbers) for i in range(batch)])


@pytest.mark.parametrize("name", PROCESSES)
def test_times_ascend_at_the_rate_that_was_asked_for(name: str) -> None:
    process, rate_hz = PROCESSES[name]
    times = process.times(uniform(process, 300))
    assert times.shape[1] <= process.requests
    assert (times[:, -1] > SECONDS).mean() > 0.99
    assert (times >= 0).all()
    assert (np.diff(np.where(np.isinf(times), 1e9, times)) >= 0).all()
    assert (times <= SECONDS).sum(-1).mean() / SECONDS == pytest.approx(rate_hz, rel=0.06)


@pytest.mark.parametrize("name", PROCESSES)
def test_one_episode_and_a_batch_agree_bit_by_bit(name: str) -> None:
    process, _ = PROCESSES[name]
    numbers = uniform(process, 40)
    together = process.times(numbers)
    for row, times in zip(numbers, together, strict=True):
        alone = process.times(row[None])[0]
        assert (times[: len(alone)] == alone).all()
        assert (times[len(alone) :] > SECONDS).all()


def test_bursts_are_a_poisson_process_seen_through_the_summed_rate() -> None:
    process = Bursty(2.0, 10.0, 3.0, 1.0, SECONDS)
    numbers = uniform(process, 20)
    phases = process.numbers - 1 - process.requests
    for row, times in zip(numbers, process.times(numbers), strict=True):
        in_burst = (np.arange(phases) + (row[0] < 0.25)) % 2 == 1
        dwell_s = -np.log1p(-row[1 : 1 + phases]) * np.where(in_burst, 1.0, 3.0)
        edges_s = np.append(0.0, dwell_s.cumsum())
        expected = np.append(0.0, (dwell_s * np.where(in_burst, 10.0, 2.0)).cumsum())
        due = -np.log1p(-row[1 + phases :]).cumsum()
        reference = np.interp(due, expected, edges_s, right=np.inf)[: len(times)]
        np.testing.assert_allclose(times, np.where(reference <= SECONDS, reference, np.inf), rtol=1e-9)


def test_bursts_are_burstier_than_a_poisson_process() -> None:
    def dispersion(process: Arrivals) -> float:
        times = process.times(uniform(process, 300))
        counts = np.stack([np.histogram(row, bins=50, range=(0, SECONDS))[0] for row in times])
        return float(counts.var() / counts.mean())

    assert dispersion(PROCESSES["poisson"][0]) == pytest.approx(1.0, abs=0.1)
    assert dispersion(PROCESSES["bursty"][0]) > 2.0


def test_a_trace_is_split_in_time(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("name,arrival_s\n" + "".join(f"a,{t}\n" for t in range(101)))
    search, test = read_trace(path, "search"), read_trace(path, "test")
    assert search.max() < test.min()
    assert len(search) + len(test) == 101
    assert len(search) == pytest.approx(76, abs=1)


@pytest.mark.parametrize(
    "text",
    ["time\n0\n1\n2\n9\n", '\ufeff"arrival_s"\r\n0\r\n1\r\n2\r\n9\r\n', 'name,"arrival_s"\n"a, b",0\n,1\n,2\n,9\n'],
)
def test_traces_as_spreadsheets_write_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text, encoding="utf-8", newline="")
    np.testing.assert_array_equal(read_trace(path, "search"), [0, 1, 2])
