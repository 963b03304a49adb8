from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.accuracy import trained as training
from codesign_gym.simulators.accuracy.memo import Memo
from codesign_gym.simulators.supernets import measuring
from codesign_gym.simulators.supernets.library import TrainedSupernet, load
from codesign_gym.simulators.supernets.measuring import OwnTraining, OwnWeights, Recalibration, SharedWeights

ALL = np.array([[first, second] for first in range(3) for second in range(2)])


def test_the_supernet_is_really_trained_and_read_again(
    quick: TrainedSupernet, quick_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "fit", never)
    again = load(str(quick_file))
    assert again.fingerprint == quick.fingerprint
    assert quick.sizes == (3, 2)
    assert not any(parameter.requires_grad for parameter in quick.module.parameters())


def test_operators_that_compute_more_get_more_right(shared: SharedWeights) -> None:
    accuracy = shared.accuracy(ALL)
    assert accuracy[-1] >= 0.85
    assert accuracy[-1] > accuracy[0]


def test_a_batch_is_its_singles_in_any_order(quick: TrainedSupernet, shared: SharedWeights) -> None:
    together = shared.loss(ALL)
    fresh = SharedWeights(quick)
    order = [4, 0, 5, 2, 2, 1, 3]
    np.testing.assert_array_equal(fresh.loss(ALL[order]), together[order])
    np.testing.assert_array_equal(np.concatenate([fresh.loss(design[None]) for design in ALL]), together)


def test_results_are_found_again_on_disk(
    quick: TrainedSupernet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memo = Memo(tmp_path / "memo.sqlite")
    first = SharedWeights(quick, memo=memo).correct(ALL[:2])

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(measuring, "_through", never)
    np.testing.assert_array_equal(SharedWeights(quick, memo=memo).correct(ALL[:2]), first)
    with pytest.raises(AssertionError, match="measured again"):
        SharedWeights(quick, Recalibration(images=100), memo).correct(ALL[:2])


def test_statistics_are_the_designs_own(quick: TrainedSupernet, shared: SharedWeights) -> None:
    before = {key: value.clone() for key, value in quick.module.state_dict().items()}
    expected = shared.loss(ALL[-1:])
    images, labels = (torch.from_numpy(part) for part in (quick.splits.search.images, quick.splits.search.labels))
    network = quick.module.candidate(ALL[-1].tolist())
    with torch.no_grad():
        unadjusted = torch.nn.functional.cross_entropy(network(images), labels)
    assert float(expected[0]) < float(unadjusted)  # running averages mix the statistics of all paths
    assert all(torch.equal(value, quick.module.state_dict()[key]) for key, value in before.items())


def test_training_by_itself_is_deterministic_and_answers_for_both_splits(
    quick: TrainedSupernet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = OwnTraining.like(quick)
    assert own.training.epochs == 8  # 24 epochs over three operators
    measurer = OwnWeights(quick, own, Memo(tmp_path / "memo.sqlite"))
    once = measurer.accuracy(ALL[-1:])
    assert once[0] >= 0.85
    assert np.array_equal(OwnWeights(quick, own).loss(ALL[-1:]), measurer.loss(ALL[-1:]))

    def never(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(measuring, "fit", never)
    assert measurer.accuracy(ALL[-1:], "test")[0] >= 0.85


def test_a_short_fine_tune_starts_from_shared_weights(quick: TrainedSupernet, shared: SharedWeights) -> None:
    short = OwnTraining.like(quick).training.model_copy(update={"epochs": 2, "learning_rate": 0.02})
    tuned, scratch = (
        OwnWeights(quick, OwnTraining.model_validate({"training": short, "start": start})).loss(ALL[:1])
        for start in ("shared", "scratch")
    )
    assert tuned < shared.loss(ALL[:1])
    assert tuned < scratch


@pytest.mark.parametrize(
    ("designs", "message"),
    [
        (np.zeros((2, 3), dtype=int), r"shape \(2, 3\)"),
        (np.zeros((2, 2)), "float64"),
        (np.array([[0, 0], [0, 2]]), r"designs\[1, 1\] is 2; accepted: 0 to 1"),
        (np.array([[-1, 0]]), r"designs\[0, 0\] is -1"),
    ],
)
def test_designs_of_another_space_are_refused(shared: SharedWeights, designs: np.ndarray, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        shared.accuracy(designs)


def test_no_designs_have_no_results(shared: SharedWeights) -> None:
    assert shared.accuracy(np.zeros((0, 2), dtype=int)).shape == (0,)


def test_spaces_without_a_recipe_are_refused(tmp_path: Path, quick_file: Path) -> None:
    with pytest.raises(BadConfig, match="field 'data' is missing"):
        load("fbnet")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(quick_file.read_text().replace("[1, 8, 8]", "[1, 9, 9]"))
    with pytest.raises(BadConfig, match=r"its images are \(1, 8, 8\)"):
        load(str(wrong))
