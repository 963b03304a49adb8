from __future__ import annotations

import numpy as np
import pytest

from codesign_gym.errors import BadConfig, StorageError, UnknownName
from codesign_gym.simulators.exits import library
from codesign_gym.storage import cache_dir

TINY = "digits-exits-tiny"


def test_exits_trained_on_digits_get_better_and_surer_on_the_way(cache) -> None:
    search, test = library.load(TINY)
    for split in (search, test):
        assert split.confidence.shape == (500, 5)
        assert split.correct[:, -1].mean() > 0.95
        assert split.correct[:, 0].mean() + 0.05 < split.correct[:, -1].mean()
        assert (np.diff(split.confidence.mean(0)) > 0).all()
    assert (np.diff(search.work.operations) > 0).all()
    # Confidence tells the easy images from the hard ones, without which early exits would be worth nothing.
    sure = search.confidence[:, 0] > np.median(search.confidence[:, 0])
    assert search.correct[sure, 0].mean() > search.correct[~sure, 0].mean() + 0.1


def test_a_record_is_read_back_and_not_trained_again(cache, monkeypatch) -> None:
    before = library.load(TINY)
    monkeypatch.setattr(library, "_measured", lambda *_: pytest.fail("trained again"))
    after = library.load(TINY)
    for one, other in zip(before, after, strict=True):
        assert (one.confidence == other.confidence).all()
        assert (one.correct == other.correct).all()


def test_work_grows_with_the_pixels_and_answers_do_not_change(cache) -> None:
    small, large = library.load(TINY).search, library.load(TINY, pixels=16).search
    assert np.allclose(large.stages.operations, 4 * small.stages.operations, rtol=0.01)
    assert (small.confidence == large.confidence).all()


def test_a_damaged_record_says_what_to_delete(cache) -> None:
    library.load(TINY)
    (path,) = cache_dir("exits").glob(f"{TINY}-*.safetensors")
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(StorageError, match="delete it to train again"):
            library.load(TINY)
    finally:
        path.write_bytes(whole)


def test_names_and_files_that_are_wrong_are_told(tmp_path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'digits-exits'"):
        library.load("digits-exit")
    with pytest.raises(BadConfig, match="accepted: ExitRecords"):
        library.load("codesign_gym.simulators.exits.library:RECORD_VERSION")
    with pytest.raises(BadConfig, match="accepted: no pixels beside it"):
        library.load("record_samples:first", pixels=32)
    file = tmp_path / "mine.yaml"
    file.write_text("title: mine\nsource: me\nmodule: codesign_gym.simulators.exits.backbone:ExitNetwork\n")
    with pytest.raises(BadConfig, match="'module', 'data' and 'training'"):
        library.load(str(file))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("{widths: [4, 4], strides: [1], blocks: [0, 0]}", "lists of equal length"),
        ("{depth: 3}", "field 'arguments'"),
    ],
)
def test_arguments_that_build_nothing_are_told(arguments: str, words: str, tmp_path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "title: mine\nsource: me\nmodule: codesign_gym.simulators.exits.backbone:ExitNetwork\n"
        f"arguments: {arguments}\ndata: codesign_gym.simulators.accuracy.datasets:digits\n"
        "training: {epochs: 1, batch_size: 32, learning_rate: 0.01}\n"
    )
    with pytest.raises(BadConfig, match=words):
        library.load(str(file))
