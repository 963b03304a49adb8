"""How supernets order designs, as study fbnet tells it."""

from __future__ import annotations

from rich.console import Console

from codesign_gym.training.studies.fbnet import ranking

FOUND = ranking.Ranked(ranking.SUPERNETS[0], (0.5, 0.2, 0.7), (0.6, 0.3, 0.8), float("nan"), (0.9, 0.3), (0.95, 0.05))


def test_a_claim_hangs_on_the_interval_and_the_table_tells_both_ends() -> None:
    assert ranking._claim(FOUND).passed
    below = ranking.Ranked(FOUND.supernet, FOUND.kendall, (0.4, -0.1, 0.7), 0.5, FOUND.shared, FOUND.own)
    assert not ranking._claim(below).passed
    (row, other) = ranking._table([FOUND, below]).rows
    assert row[2] == "0.60 (0.30 to 0.80)"
    assert (row[3], other[3]) == ("", "0.50")
    assert row[4] == "90.0 (30.0)"


def test_small_only_says_what_is_left_out() -> None:
    part = ranking.run("small", Console(quiet=True))
    assert [claim.passed for claim in part.claims] == [None, None]
    assert not part.tables
