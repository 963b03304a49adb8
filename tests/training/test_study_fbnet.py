from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from codesign_gym.errors import UnknownName
from codesign_gym.training.cli import app
from codesign_gym.training.studies import fbnet
from codesign_gym.training.studies.fbnet import agents, digits, dnas
from codesign_gym.training.studies.fbnet.digits import Case, Compared
from codesign_gym.training.studies.fbnet.dnas import Net
from codesign_gym.training.studies.fbnet.problems import best_quality, fastest, measure, problem

PHONE, FPGA = fbnet.MODELLED


def test_fbnet_at_scale_small_prints_its_claims(tmp_path) -> None:
    out = tmp_path / "claims.json"
    ran = CliRunner().invoke(app, ["study", "fbnet", "--scale", "small", "--json", str(out)])
    report = json.loads(out.read_text())
    assert ran.exit_code == (0 if report["passed"] else 1), ran.output
    claims = report["claims"]
    assert [claim["passed"] is None for claim in claims] == [False, False, True, True, True, True]
    assert all(claim["note"] for claim in claims if claim["passed"] is not True)
    nets, compared = report["tables"]
    assert len(nets["rows"]) == len(fbnet.MODELLED)
    shares = {row[0]: float(row[2].rstrip("%")) for row in compared["rows"]}
    assert shares["milp"] == pytest.approx(100.0, abs=0.1)
    assert max(shares.values()) <= shares["milp"] + 0.1


def test_the_best_quality_within_a_latency_is_that_of_no_slower_design() -> None:
    made = problem(PHONE, 0)
    for design in made.space.sample(np.random.default_rng(0), 5):
        latency_s, quality = measure(made, design)
        assert quality <= best_quality(made, latency_s) + 1e-4
    limit = made.constraints[0].limit
    assert best_quality(made, limit) < best_quality(made, 1.2 * limit) <= 1


def test_the_fastest_net_of_a_quality_is_as_good_and_no_slower_than_others() -> None:
    made = problem(FPGA, 1)
    latency_s, quality = measure(made, fastest(made, 0.7))
    assert quality >= 0.7 - 1e-6
    assert best_quality(made, 0.99 * latency_s) < 0.7 + 1e-3


def test_a_swap_compares_on_one_device() -> None:
    own = fastest(problem(PHONE, 0), 0.7)
    other = fastest(problem(FPGA, 0), 0.7)
    nets = {
        (setting.device, 0): Net(1.0, tuple(design.tolist()), *measure(problem(setting, 0), design), 1.0)
        for setting, design in ((PHONE, own), (FPGA, other))
    }
    gain = dnas._gain(fbnet.MODELLED, nets, 0, 0)
    assert gain == pytest.approx(measure(problem(PHONE, 0), other)[0] / measure(problem(PHONE, 0), own)[0])
    assert gain > 1


def net(quality: float) -> Net:
    return Net(1.0, (), 1e-3, quality, 1.0)


def test_nets_are_compared_at_the_nearest_qualities_of_useful_ones() -> None:
    here, there = [net(0.01), net(0.9), net(0.72)], [net(0.01), net(0.6), net(0.7)]
    assert dnas.equals(here, there) == (here[2], there[2])
    assert dnas.equals(here[:1], there) == (here[0], there[0])  # nothing useful to compare


def test_agents_to_compare_are_known_and_always_beside_the_baselines() -> None:
    assert agents.agents_of("ppo", ()) == ("ppo", *agents.BASELINES)
    assert agents.agents_of(None, ("gumbel", "random")).count("random") == 1
    with pytest.raises(UnknownName, match="gumbel"):
        agents.agents_of("gumbell", ())


def test_peers_are_other_nets_of_nearly_the_same_latency() -> None:
    designs = np.array(list(np.ndindex(9, 9)))
    latency = 1.0 + 0.01 * designs.sum(-1)
    peers = digits._peers(designs, latency, designs[40], np.random.default_rng(0))
    assert len(peers) == digits.RANDOM
    assert not (peers == designs[40]).all(-1).any()
    assert (np.abs((1.0 + 0.01 * peers.sum(-1)) / latency[40] - 1) <= digits.EQUAL + 1e-12).all()


@pytest.mark.parametrize(("gain", "passed"), [(1.2, True), (0.8, False)])
def test_the_claim_on_digits_asks_for_a_point_on_test_in_every_search(gain: float, passed: bool) -> None:
    found = [
        Compared(Case(beta, seed), 1e-4, 20, (95.0, 95.0), (90.0 + (gain if seed == 1 else 2.0), 90.0))
        for beta in digits.BETAS
        for seed in digits.SEEDS
    ]
    (claim,) = digits.report(found).claims
    assert claim.passed is passed
    assert claim.worst == f"+{gain} pt"
