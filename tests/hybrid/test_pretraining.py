"""Phases of a pretraining: what is drawn, what changes, and that the cache tells phases apart."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codesign_gym.errors import BadConfig  # noqa: E402
from codesign_gym.simulators import operators  # noqa: E402
from codesign_gym.simulators.hybrid import pretraining  # noqa: E402
from codesign_gym.simulators.hybrid.pretraining import MIXED, PROGRESSIVE, Phase, PhasePath, pretrained  # noqa: E402
from codesign_gym.simulators.operators.catalog import read  # noqa: E402
from codesign_gym.simulators.supernets.modules import Supernet, plan  # noqa: E402

SPACE = "digits-hybrid"
KINDS = [
    [operators.load(SPACE).definitions[name].kind for name in layer.operators] for layer in operators.load(SPACE).layers
]


@pytest.mark.parametrize("phase", [*PROGRESSIVE, *MIXED])
def test_a_phase_draws_and_trains_what_it_says(phase: Phase) -> None:
    torch.manual_seed(0)
    supernet = Supernet(plan(SPACE, read(SPACE)))
    path = PhasePath(supernet, phase, KINDS, seed=0)
    seen: list[set[str]] = [set() for _ in KINDS]
    supernet.forward = lambda images, design: [
        s.add(KINDS[i][c]) for i, (s, c) in enumerate(zip(seen, design, strict=True))
    ]  # type: ignore[method-assign, assignment, func-returns-value, misc]
    for _ in range(12):
        path(None)
    assert all(kinds == set(phase.drawn) for kinds in seen)
    for options, kinds in zip(supernet.options, KINDS, strict=True):
        for option, kind in zip(options, kinds, strict=True):  # type: ignore[arg-type]
            assert {p.requires_grad for p in option.parameters()} == {kind in phase.trained}
    assert all(p.requires_grad for p in supernet.head.parameters())


def test_shares_of_the_progressive_phases_add_up_to_the_mixture() -> None:
    assert sum(phase.share for phase in PROGRESSIVE) == pytest.approx(sum(phase.share for phase in MIXED)) == 1


def test_pretraining_is_cached_and_depends_on_phases_and_seed(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODESIGN_GYM_CACHE", str(tmp_path))
    first = pretrained(SPACE, PROGRESSIVE, 3, 0)
    marks = {pretrained(SPACE, MIXED[:1], 3, seed).fingerprint for seed in (0, 1)}
    assert len({first.fingerprint, *marks}) == 3

    def fail(*arguments: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("codesign_gym.simulators.accuracy.trained.fit", fail)
    assert pretrained(SPACE, PROGRESSIVE, 3, 0).fingerprint == first.fingerprint
    assert np.isfinite([float(p.sum()) for p in first.module.parameters()]).all()


def test_a_space_without_data_cannot_be_pretrained() -> None:
    with pytest.raises(BadConfig, match="data and training"):
        pretraining.pretrained("nasa-add-all", MIXED, 1, 0)
