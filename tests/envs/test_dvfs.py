"""Runtime control: what a step does to requests, energy and heat, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from exit_samples import OPTIONS
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.envs.dvfs.core import DvfsCore
from codesign_gym.envs.dvfs.device import Power
from codesign_gym.envs.dvfs.factory import Options, build
from codesign_gym.envs.dvfs.interval import idle_state, spend
from codesign_gym.envs.dvfs.state import DvfsState
from codesign_gym.errors import BadConfig, CodesignError, Infeasible, UnknownName
from codesign_gym.records import parse
from codesign_gym.simulators.dvfs import load
from codesign_gym.simulators.dvfs.domain import IdleState

QUICK = settings(max_examples=15, derandomize=True, deadline=None)
LOADS = st.sampled_from(
    [
        {"arrivals": "periodic", "load": 0.5},
        {"arrivals": "poisson", "load": 1.5},
        {"arrivals": "bursty", "load": 0.3, "burst_load": 3.0, "capacity": 3},
        {"arrivals": "bursty", "ambient_c": (5.0, 45.0), "capacitance": 0.3, "interval": 2.0},
    ]
)


def core_of(**options: Any) -> DvfsCore:
    """A small environment."""
    return build(parse(Options, {**OPTIONS, "horizon": 30, "action": "multidiscrete", **options}, "test"))


def run(core: DvfsCore, seed: int, batch: int = 5) -> list[DvfsState]:
    """All states of episodes under random actions."""
    generator = np.random.default_rng(seed)
    states = [core.initial([np.random.default_rng([seed, i]) for i in range(batch)], None)]
    while not core.truncated(states[-1]).all():
        actions = generator.integers(0, core.actions.sizes, (batch, len(core.actions.sizes)))
        states.append(core.transition(states[-1], actions))
    return states


@QUICK
@given(LOADS, st.integers(0, 99))
def test_requests_are_conserved(load: dict[str, Any], seed: int) -> None:
    core = core_of(**load)
    for state in run(core, seed):
        told = core.info(state)
        assert (told["arrived"] == told["served"] + told["dropped"] + told["waiting"]).all()
        assert (told["arrived"] == (state.arrival_s <= (state.step * core.interval_s)[:, None] + 1e-12).sum(-1)).all()
        assert (told["late"] <= told["served"]).all()
        assert (told["correct"] <= told["served"]).all()
        assert (told["waiting"] <= core.capacity + 1).all()


@QUICK
@given(LOADS, st.integers(0, 99))
def test_energy_is_the_integral_of_power_and_heat_stays_above_the_air(load: dict[str, Any], seed: int) -> None:
    core = core_of(**load)
    states = run(core, seed)
    integral = sum(state.power_w * core.interval_s for state in states[1:])
    np.testing.assert_allclose(states[-1].energy_j, integral, rtol=1e-6)
    for state in states:
        assert (state.temperature_c >= state.ambient_c[:, None] - 1e-9).all()


@QUICK
@given(LOADS, st.integers(0, 99))
def test_service_and_energy_are_those_of_a_plain_simulation(load: dict[str, Any], seed: int) -> None:
    """One device, one request after another, interval by interval; power at a fine grid of times."""
    core = core_of(**{**load, "capacitance": 0.0})
    states = run(core, seed, batch=1)
    soc, tables = core.tables.soc, core.tables
    arrival_s, sample = states[0].arrival_s[0], states[0].sample[0]
    queue, arrived, running = [], 0, None  # running: request, exit, share left
    served = late = dropped = 0
    for before, after in pairwise(states):
        begin, until = float(before.step[0]) * core.interval_s, float(after.step[0]) * core.interval_s
        index, level = after.index[0], int(after.level[0])
        setting = int(tables.strides @ after.index[0])
        changed = index != before.index[0]
        stall_s = float((changed * soc.transition_s).sum())
        now = begin + stall_s
        gap_s = (1 - before.utilisation[0, soc.names.index("gpu")]) * core.interval_s
        depth = max(i for i, state in enumerate(soc.idle_states) if gap_s >= before.demand[0] * state.residency_s)
        wake_s = soc.idle_states[depth].wake_s
        busy: list[tuple[float, int]] = []
        came = [i for i in range(arrived, len(arrival_s)) if arrival_s[i] <= until]
        queue, arrived = queue + came, arrived + len(came)
        while True:
            if running is None:
                if not queue or max(now, arrival_s[queue[0]] + wake_s) >= until:
                    break
                request = queue.pop(0)
                now = max(now, arrival_s[request] + wake_s)
                running = (request, int(tables.workload.leaves[sample[request], level]), 1.0)
            request, leaves, left = running
            whole_s = float(tables.latency_s[setting, leaves])
            end = now + left * whole_s
            busy.append((min(end, until) - now, leaves))
            if end > until:
                running = (request, leaves, (end - until) / whole_s)
                break
            served, late, now, running = served + 1, late + (end > arrival_s[request] + core.deadline_s), end, None
        while len(queue) > core.capacity:
            queue.pop(0)
            dropped += 1
        assert (served, late, dropped) == (int(after.served[0]), int(after.late[0]), int(after.dropped[0]))
        activity = np.zeros(len(index))
        for seconds, leaves in busy:
            activity += seconds / core.interval_s * tables.activity[setting, leaves]
        awake_s = sum(seconds for seconds, _ in busy) + stall_s + wake_s * len(came)
        asleep = max(1 - awake_s / core.interval_s, 0.0)
        np.testing.assert_allclose(after.asleep[0], asleep, atol=1e-9)
        temperature, energy = before.temperature_c[0], np.zeros(len(index) + 1)
        spared_w = asleep * soc.spared_w(index, temperature[0], depth)
        for _ in range(50):
            step = soc.advance(
                temperature, index, activity, before.ambient_c[0], core.interval_s / 50, spared_w=spared_w
            )
            temperature = step.temperature_c
            energy = energy + step.energy_j
        energy[:-1] += changed * soc.transition_j
        np.testing.assert_allclose(after.energy_j[0] - before.energy_j[0], energy, rtol=1e-6)
        np.testing.assert_allclose(after.temperature_c[0], temperature, rtol=1e-6)


@QUICK
@given(LOADS, st.integers(0, 99))
def test_a_batch_is_its_devices_one_by_one_to_the_bit(load: dict[str, Any], seed: int) -> None:
    core = core_of(**load)
    generators = [np.random.default_rng([seed, i]) for i in range(5)]
    together = core.initial(generators, None)
    alone = [core.initial([np.random.default_rng([seed, i])], None) for i in range(5)]
    actions = np.random.default_rng(seed).integers(0, core.actions.sizes, (core.horizon, 5, len(core.actions.sizes)))
    actions[::2, :, :-1] //= 8  # slow clocks, at which requests outlast intervals
    for chosen in actions:
        together = core.transition(together, chosen)
        alone = [core.transition(state, choice[None]) for state, choice in zip(alone, chosen, strict=True)]
    come = together.arrival_s <= core.horizon * core.interval_s  # others are not drawn where no episode needs them
    for name, column in vars(together).items():
        kept = come if name in ("arrival_s", "sample") else slice(None)
        one_by_one = np.concatenate([getattr(state, name) for state in alone])
        np.testing.assert_array_equal(column[kept], one_by_one[kept], name)


def test_a_finished_episode_is_stepped_to_no_effect() -> None:
    core = core_of()
    last = run(core, 0)[-1]
    again = core.transition(last, np.zeros((5, len(core.actions.sizes)), dtype=np.int64))
    assert (again.energy_j == last.energy_j).all()
    assert (again.step == last.step).all()


def with_idle_states(core: DvfsCore, states: tuple[IdleState, ...]) -> DvfsCore:
    """The environment with a device that knows other idle states."""
    return replace(core, tables=replace(core.tables, soc=replace(core.tables.soc, idle_states=states)))


@pytest.mark.parametrize(
    "load", [{"arrivals": "bursty", "interval": 2.0}, {"arrivals": "poisson", "load": 1.0, "capacity": 3}]
)
def test_idle_states_spare_energy_and_delay_requests(load: dict[str, Any]) -> None:
    core = core_of(**load)
    running, *gated = core.tables.soc.idle_states
    without = with_idle_states(core, (running,))
    for before, after in zip(run(without, 0), run(core, 0), strict=True):
        assert ((after.asleep >= 0) & (after.asleep <= 1)).all()
        assert (after.served + after.dropped <= before.served + before.dropped).all()
    assert (after.energy_j[:, 0] < before.energy_j[:, 0]).all()
    assert (after.energy_j.sum(-1) < before.energy_j.sum(-1)).all()
    never = with_idle_states(core, (running, *(replace(state, residency_s=1e9) for state in gated)))
    expecting = replace(run(without, 0)[1], demand=np.ones(5, dtype=np.float32))
    highest = np.tile(np.array(core.choices) - 1, (5, 1))
    assert (never.transition(expecting, highest).energy_j == without.transition(expecting, highest).energy_j).all()


@pytest.mark.parametrize("name", ["jetson-agx-xavier", "jetson-tx2", "phone", "v100"])
@pytest.mark.parametrize("interval_s", [0.01, 10.0])
def test_a_tabulated_interval_is_the_devices_own(name: str, interval_s: float) -> None:
    soc, random = load(name), np.random.default_rng(0)
    indices, domains = soc.every_index(), len(soc.steps)
    setting, ambient_c = random.integers(0, len(indices), 40), random.uniform(-10, 40, 40)
    temperature_c, depth = random.uniform(25, 80, (40, 2)), random.integers(0, len(soc.idle_states), 40)
    busy, asleep = random.random((40, domains)), random.random(40)
    power = Power.of(soc, interval_s)
    warmer_c, energy_j, same = np.empty((40, 2)), np.empty((40, domains + 1)), np.ones((40, domains))
    for i in range(40):
        at = (*temperature_c[i].tolist(), float(ambient_c[i]))
        idle = int(depth[i]), float(asleep[i])
        warmer_c[i] = spend(power, interval_s, int(setting[i]), same, i, busy[i], *idle, at, energy_j[i])
    spared_w = asleep[:, None] * soc.spared_w(indices[setting], temperature_c[:, 0], depth)
    own = soc.advance(temperature_c, indices[setting], busy, ambient_c, interval_s, spared_w=spared_w)
    np.testing.assert_allclose(energy_j, own.energy_j, rtol=1e-12)
    np.testing.assert_allclose(warmer_c, own.temperature_c, rtol=1e-12)


def test_a_longer_gap_is_slept_through_more_deeply() -> None:
    core = core_of(device="phone")
    demand = np.geomspace(1e-3, 1e9, 50)
    residency_s = np.array([state.residency_s for state in core.tables.soc.idle_states])
    depth = [idle_state(residency_s, core.interval_s / 2, rate) for rate in demand]
    assert (np.diff(depth) <= 0).all()
    assert set(depth) == set(range(len(core.tables.soc.idle_states)))
    assert [idle_state(residency_s, 0.0, rate) for rate in demand] == [0] * 50
    for deepest, rate in zip(depth, demand, strict=True):
        assert residency_s[deepest] <= core.interval_s / 2 / rate * (1 + 1e-6)


def test_throttling_caps_the_clocks_and_costs() -> None:
    core = core_of(arrivals="poisson", load=0.9)
    state = run(core, 0)[3]
    hot = state.temperature_c + core.tables.soc.thermal.engage_c
    state = DvfsState(**{**vars(state), "temperature_c": hot, "throttled": np.ones(5, dtype=bool)})
    highest = np.tile(np.array(core.actions.sizes) - 1, (5, 1))
    after = core.transition(state, highest)
    assert (after.index <= np.array(core.tables.soc.throttled_index)).all()
    assert (core.reward_terms(state, after)["throttling"] < 0).all()


def test_higher_thresholds_leave_later_and_the_last_never_early() -> None:
    workload = core_of().tables.workload
    assert (np.diff(workload.leaves, axis=1) >= 0).all()
    assert (workload.leaves[:, -1] == workload.exits - 1).all()


def test_a_mix_of_networks_keeps_its_shares() -> None:
    core = core_of(mix={"exit_samples:records": 1.0, "exit_samples:record_pair": 3.0})
    sample = core.tables.workload.samples(np.random.default_rng(0).random(20_000))
    assert abs((sample >= 200).mean() - 0.75) < 0.02
    assert core.tables.workload.exits == 6
    assert np.bincount(sample).min() > 0


def test_hidden_groups_are_left_out() -> None:
    whole, part = core_of(), core_of(hidden=("power", "deadline"))
    kept = [i for i, name in enumerate(whole.observer.columns) if name in part.observer.columns]
    seen, less = (core.observation(run(core, 1)[10]) for core in (whole, part))
    assert len(kept) < len(whole.observer.columns)
    assert (seen[:, kept] == less).all()


def test_domains_differ_between_episodes_only_where_asked() -> None:
    same, differing = core_of(), core_of(ambient_c=(10.0, 40.0), capacitance=0.2)
    generators = [np.random.default_rng(i) for i in range(50)]
    assert np.ptp(same.initial(generators, None).ambient_c) == 0
    state = differing.initial(generators, None)
    assert np.ptp(state.ambient_c) > 15
    assert 0.7 < state.scale.min() < 0.9 < 1.1 < state.scale.max() < 1.3


@pytest.mark.parametrize("action", ["box", "multidiscrete", "discrete"])
def test_every_view_of_actions_reaches_every_choice(action: str) -> None:
    core = core_of().with_actions(action)
    sizes = core.actions.sizes
    highest: Any = {
        "box": np.ones((1, len(sizes))),
        "multidiscrete": np.array([sizes]) - 1,
        "discrete": np.array([np.prod(sizes) - 1]),
    }
    assert core.actions.decode(highest[action]).tolist() == [[size - 1 for size in sizes]]
    assert core.actions.decode(highest[action] * 0 - (action == "box")).tolist() == [[0] * len(sizes)]


def test_a_run_is_drawn() -> None:
    env = gym.make("codesign/Dvfs-v0", render_mode="rgb_array", **{**OPTIONS, "horizon": 5})
    env.reset(seed=0)
    first = env.render()
    for _ in range(5):
        env.step(env.action_space.sample())
    last = env.render()
    assert isinstance(first, np.ndarray)
    assert first.shape == last.shape
    assert (first != last).any()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"deadline_s": 1e-6}, Infeasible, r"deadline_s is 1e-06, which nothing can meet.* s too long"),
        ({"thresholds": (0.99,)}, BadConfig, r"exit 'exit1' is never reached"),
        ({"thresholds": (0.9, 0.6)}, BadConfig, r"thresholds are 0\.9, 0\.6; accepted: ascending"),
        ({"interval_s": 1e-4, "deadline_s": 1.0}, BadConfig, r"interval_s is 0\.0001; accepted: more than"),
        ({"interval": 0.01}, BadConfig, r"interval is 0\.01; accepted: more than .* requests of"),
        ({"load": 1e9}, BadConfig, r"e\+11 requests an episode .*; accepted: 1e\+06 or fewer"),
        ({"arrivals": "burst"}, UnknownName, r"did you mean 'bursty'"),
        ({"hidden": ("powers",)}, UnknownName, r"did you mean 'power'"),
        ({"ambient_c": (40.0, 20.0)}, BadConfig, r"ambient_c is 40, 20"),
        ({"arrivals": "trace"}, BadConfig, r"accepted: with trace"),
        ({"device": "jetson-tx3"}, UnknownName, r"did you mean 'jetson-tx2'"),
        ({"action": "boxes"}, UnknownName, r"did you mean 'box'"),
        ({"loads": 1.0}, BadConfig, r"unknown field 'loads'; did you mean 'load'"),
        ({"mix": {}}, BadConfig, r"mix is"),
        ({"ambient_c": (20.0,)}, BadConfig, r"ambient_c is 20; accepted: two numbers"),
        ({"load": True}, BadConfig, r"load"),
        ({"load": "0.5"}, BadConfig, r"load"),
    ],
)
def test_bad_options_are_refused_in_one_line(options: dict[str, Any], error: type[CodesignError], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        core_of(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"arrivals": "poisson", "burst_load": 2.0}, r"burst_load is 2\.0, .* only where arrivals is 'bursty'"),
        ({"jitter": 0.1}, r"jitter is 0\.1, .* only where arrivals is 'periodic'"),
        ({"trace": "requests.csv"}, r"trace is 'requests\.csv', .* only where arrivals is 'trace'"),
        ({"slack": 5.0, "deadline_s": 0.1}, r"slack is 5\.0, .* only without deadline_s"),
    ],
)
def test_options_that_mean_nothing_beside_others_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfig, match=said):
        gym.make("codesign/Dvfs-v0", **options)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("arrival_s\n0.5\n-1\n2\n", r"line 3: arrival_s is '-1'; accepted: seconds, 0 or more"),
        ("arrival_s\n0.5\n0.4\n", r"line 3: arrival_s is '0\.4' after 0\.5; accepted: ascending"),
        ("arrival_s\n0.5\nsoon\n", r"line 3: arrival_s is 'soon'"),
        ("time,name\n0.5,a\n", r"its columns are \['time', 'name'\]; accepted: one called 'arrival_s'"),
        ("", r"its columns are \[\]"),
        ("arrival_s\n1\n", r"accepted: 2 or more"),
    ],
)
def test_bad_traces_are_refused_in_one_line(tmp_path: Path, lines: str, said: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(lines)
    with pytest.raises(BadConfig, match=said):
        core_of(arrivals="trace", trace=str(path))
