"""Laws that every device keeps: energy, heat, clocks, throttling."""

import numpy as np
import pytest
from dvfs_samples import SEEDS, SOCS, states, work
from hypothesis import given, settings

from codesign_gym.simulators.dvfs import Thermal, Work, load

every_soc = pytest.mark.parametrize("name", SOCS)
randomly = settings(derandomize=True, deadline=None, max_examples=15)


@every_soc
@given(seed=SEEDS)
@randomly
def test_energy_is_the_integral_of_power(name: str, seed: int) -> None:
    case = states(name, seed, (3,))
    soc, seconds = case.pop("soc"), case.pop("seconds")
    nodes, weights = np.polynomial.legendre.leggauss(12)
    edges = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 40)])  # finer where the junction still moves fast
    share = (edges[:-1, None] + np.diff(edges)[:, None] * (nodes + 1) / 2).ravel()
    weight = (np.diff(edges)[:, None] * weights / 2).ravel()
    reached = soc.advance(**{**case, "seconds": share[:, None] * seconds}).temperature_c
    power = soc.power_w(case["index"], case["activity"], reached[..., 0], case["state"])
    integral = (weight[:, None, None] * power).sum(0) * seconds[:, None]
    np.testing.assert_allclose(soc.advance(**case, seconds=seconds).energy_j, integral, rtol=1e-6)


@every_soc
@given(seed=SEEDS)
@randomly
def test_splitting_a_step_changes_nothing(name: str, seed: int) -> None:
    case = states(name, seed, (4,))
    soc, seconds, start = case.pop("soc"), case.pop("seconds"), case.pop("temperature_c")
    whole = soc.advance(start, seconds=seconds, **case)
    first = soc.advance(start, seconds=0.3 * seconds, **case)
    second = soc.advance(first.temperature_c, seconds=0.7 * seconds, **case)
    np.testing.assert_allclose(second.temperature_c, whole.temperature_c, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(first.energy_j + second.energy_j, whole.energy_j, rtol=1e-9)


@every_soc
@given(seed=SEEDS)
@randomly
def test_never_colder_than_the_coldest_air_so_far(name: str, seed: int) -> None:
    case = states(name, seed, (5,))
    soc, random = case["soc"], np.random.default_rng(seed)
    temperature = case["temperature_c"]
    coldest = temperature.min(-1)
    for _ in range(12):
        ambient = random.uniform(-20, 50, 5)
        coldest = np.minimum(coldest, ambient)
        seconds = 10 ** random.uniform(-3, 3, 5)
        temperature, energy = soc.advance(temperature, case["index"], case["activity"], ambient, seconds, case["state"])
        assert (temperature >= coldest[:, None]).all()
        assert (energy >= 0).all()


@every_soc
@given(seed=SEEDS)
@randomly
def test_a_higher_clock_is_never_slower(name: str, seed: int) -> None:
    soc = load(name)
    asked = work(seed, soc)
    latency = soc.latency_s(asked, soc.every_index()).reshape(soc.steps)
    for axis in range(latency.ndim):
        assert (np.diff(latency, axis=axis) <= 1e-12 * latency.max()).all()


@every_soc
@given(seed=SEEDS)
@randomly
def test_latency_lies_between_its_largest_part_and_their_sum(name: str, seed: int) -> None:
    soc = load(name)
    asked, index = work(seed, soc, (6,)), states(name, seed, (6,))["index"]
    parts, latency = soc.parts_s(asked, index), soc.latency_s(asked, index)
    assert (latency >= parts.max(-1) * (1 - 1e-12)).all()
    assert (latency <= parts.sum(-1) * (1 + 1e-12)).all()
    activity = soc.activity(asked, index)
    assert ((activity >= 0) & (activity <= 1 + 1e-12)).all()
    twice = Work(2 * asked.operations, 2 * asked.bytes, 2 * asked.launches, 2 * asked.traffic)
    np.testing.assert_allclose(soc.latency_s(twice, index), 2 * latency, rtol=1e-12)


@every_soc
@given(seed=SEEDS)
@randomly
def test_a_batch_is_its_singles(name: str, seed: int) -> None:
    case = states(name, seed, (2, 3))
    soc = case.pop("soc")
    batch = soc.advance(**case)
    for place in np.ndindex(2, 3):
        single = soc.advance(**{key: value[place] for key, value in case.items()})
        np.testing.assert_allclose(batch.temperature_c[place], single.temperature_c, rtol=1e-13)
        np.testing.assert_allclose(batch.energy_j[place], single.energy_j, rtol=1e-13)


@every_soc
def test_power_grows_with_activity_clock_and_temperature_and_falls_when_gated(name: str) -> None:
    soc = load(name)
    index = soc.every_index()
    half = np.full(len(soc.domains), 0.5)

    def board(activity: np.ndarray, temperature_c: float, state: int = 0) -> np.ndarray:
        return soc.power_w(index, activity, temperature_c, state).sum(-1)

    assert (board(half, 60.0) < board(2 * half, 60.0)).all()
    assert (board(half, 60.0) < board(half, 80.0)).all()
    for axis in range(len(soc.steps)):
        assert (np.diff(board(half, 60.0).reshape(soc.steps), axis=axis) > 0).all()
    idle = [board(0 * half, 60.0, state) for state in range(len(soc.idle_states))]
    for less, more in zip(idle[1:], idle[:-1], strict=True):
        assert (less < more).all()
    assert soc.rails == (*soc.names, "rest")


def test_idle_states_wake_in_order() -> None:
    for name in SOCS:
        wake_s = [state.wake_s for state in load(name).idle_states]
        assert wake_s == sorted(wake_s)
        assert load(name).idle_states[0].name == "running"


def test_throttling_engages_and_releases_with_hysteresis() -> None:
    soc = load("phone")
    top, busy = np.array(soc.steps) - 1, np.ones(3)
    temperature, throttled = soc.thermal.initial(30.0), np.array(False)
    seen = []
    for _ in range(2500):
        index = soc.capped(top, throttled)
        temperature, _energy = soc.advance(temperature, index, busy, 30.0, 1.0)
        throttled = soc.throttled(throttled, temperature)
        seen.append((bool(throttled), float(temperature[0])))
    changes = [(now, junction) for (now, junction), (was, _) in zip(seen[1:], seen[:-1], strict=True) if now != was]
    assert len(changes) > 2, "it swings between the thresholds"
    assert all(
        junction >= soc.thermal.engage_c if now else junction <= soc.thermal.release_c for now, junction in changes
    )
    assert max(junction for _, junction in seen) < soc.thermal.engage_c + 2


def test_between_the_thresholds_nothing_changes() -> None:
    thermal = Thermal(1.0, 10.0, 1.0, 1.0, engage_c=80.0, release_c=75.0)
    junction = np.array([74.0, 75.0, 77.0, 79.9, 80.0])
    np.testing.assert_array_equal(thermal.throttled(False, junction), [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(thermal.throttled(True, junction), [0, 0, 1, 1, 1])


def test_heat_settles_where_the_resistances_say() -> None:
    thermal = Thermal(2.0, 50.0, 0.5, 1.5, engage_c=90.0, release_c=80.0)
    heated = thermal.step(thermal.initial(20.0), np.array([8.0, 2.0]), np.zeros(2), 20.0, 1e6)
    np.testing.assert_allclose(heated.temperature_c, [20 + 10 * 1.5 + 8 * 0.5, 20 + 10 * 1.5])
    assert thermal.stable([1.0, 0.0]) == (1.0 < 1 / (0.5 + 1.5))
    assert thermal.stable([0.4, 0.0])


def test_heat_follows_its_differential_equation() -> None:
    thermal = Thermal(2.0, 50.0, 0.5, 1.5, engage_c=90.0, release_c=80.0)
    power, slope, ambient = np.array([8.0, 2.0]), np.array([0.05, 0.02]), 25.0
    temperature, area, seconds, steps = np.array([40.0, 10.0]), 0.0, 7.0, 20_000
    for _ in range(steps):
        flow = (temperature[0] - temperature[1]) / 0.5
        rate = np.array([power[0] + slope[0] * temperature[0] - flow, power[1] + slope[1] * temperature[0] + flow])
        rate[1] -= (temperature[1] - ambient) / 1.5
        area += temperature[0] * seconds / steps
        temperature = temperature + rate / [2.0, 50.0] * seconds / steps
    heated = thermal.step(np.array([40.0, 10.0]), power, slope, ambient, seconds)
    np.testing.assert_allclose(heated.temperature_c, temperature, rtol=1e-3)
    np.testing.assert_allclose(heated.junction_k_s, area, rtol=1e-3)


def test_a_change_of_clocks_costs_what_changes() -> None:
    soc = load("jetson-tx2")
    before = np.array([[0, 3, 1], [0, 3, 1], [5, 4, 2]])
    after = np.array([[0, 3, 1], [0, 4, 1], [6, 0, 3]])
    changed = soc.transition(before, after)
    np.testing.assert_allclose(changed.seconds, [0.0, soc.transition_s[1], soc.transition_s.sum()])
    np.testing.assert_allclose(changed.joules, [0.0, soc.transition_j[1], soc.transition_j.sum()])


def test_no_work_takes_no_time() -> None:
    soc = load("jetson-tx2")
    nothing = Work(0.0, 0.0, 0.0)
    assert soc.latency_s(nothing, [0, 0, 0]) == 0
    np.testing.assert_array_equal(soc.activity(nothing, [0, 0, 0]), np.zeros(3))
