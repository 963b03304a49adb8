"""MAERI: its read ports word by word, mappings that are illegal, and what its search finds."""

from collections import defaultdict
from dataclasses import fields
from itertools import product

import numpy as np
import pytest
from hardware_samples import conv, layers, linear
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.stonne.maeri import Cases, Maeri
from codesign_gym.simulators.hardware.stonne.networks import Hardware
from codesign_gym.simulators.hardware.stonne.ports import places
from codesign_gym.simulators.hardware.stonne.tiles import Loops, candidates, loops
from codesign_gym.simulators.networks.layers import Layers

few = settings(max_examples=40, deadline=None, derandomize=True)
NAMES = [field.name for field in fields(Loops)]
BITS = np.full((1, 2), 8)


def tiles(**sizes: int) -> Loops:
    return Loops(*(np.array([sizes.get(name, 1)]) for name in NAMES))


@st.composite
def cases(draw: st.DrawFn) -> Cases:
    """A layer of two tiles or fewer a loop, with tiles that fit 64 multipliers."""
    sizes = dict.fromkeys(NAMES, 1)
    for name in draw(st.permutations(NAMES)):
        room = 63 // (np.prod(list(sizes.values())) + np.prod([sizes[other] for other in "kgnxy"]))
        sizes[name] = draw(st.integers(1, max(1, min(4, int(room)))))
    extents = {name: size * draw(st.integers(1, 2)) + draw(st.integers(0, 1)) for name, size in sizes.items()}
    extents = {name: max(extents[name], sizes[name]) for name in NAMES}
    ports, lines = draw(st.sampled_from([4, 16, 64])), draw(st.sampled_from([4, 16]))
    hardware = Hardware(*(np.array([value]) for value in (64, ports, lines)))
    stride, accumulates = draw(st.integers(1, 2)), draw(st.integers(0, 1))
    return Cases(tiles(**extents), np.array([stride]), tiles(**sizes), hardware, np.array([accumulates]))


def sent_one_by_one(case: Cases) -> dict[str, list[int]]:
    """Distinct weights and inputs per read port, from sets of what each multiplier wants."""
    t, stride, returns = case.tiles, int(case.stride[0]), bool(case.returns[0])
    wanted: dict[str, dict[int, set[tuple[int, ...]]]] = {kind: defaultdict(set) for kind in ("weights", "inputs")}
    place = 0
    for n, g, k, x, y in product(*(range(int(size[0])) for size in (t.n, t.g, t.k, t.x, t.y))):
        place += returns
        for c, r, s in product(*(range(int(size[0])) for size in (t.c, t.r, t.s))):
            port = place // int(case.hardware.port_width[0])
            wanted["weights"][port].add((g, k, c, r, s))
            wanted["inputs"][port].add((n, g, c, x * stride + r, y * stride + s))
            place += 1
    ports = range(int(case.hardware.read_ports[0]))
    return {kind: [len(by_port[port]) for port in ports] for kind, by_port in wanted.items()}


@few
@given(case=cases())
def test_ports_send_what_their_multipliers_want(case: Cases) -> None:
    sent = places(case.tiles, case.stride, case.returns, case.hardware).words()
    expected = sent_one_by_one(case)
    assert sent.weights[0].tolist() == expected["weights"]
    assert sent.inputs[0].tolist() == expected["inputs"]
    assert sent.partial.sum() == case.returns[0] * case.tiles.neurons[0]


@few
@given(parts=st.lists(cases(), min_size=2, max_size=4))
def test_a_batch_of_mappings_is_its_singles_in_any_order(parts: list[Cases]) -> None:
    def stacked(order: list[Cases]) -> Cases:
        def join(values: list[np.ndarray]) -> np.ndarray:
            return np.concatenate(values)

        return Cases(
            Loops(*(join([getattr(part.extents, name) for part in order]) for name in NAMES)),
            join([part.stride for part in order]),
            Loops(*(join([getattr(part.tiles, name) for part in order]) for name in NAMES)),
            Hardware(*(join(list(sizes)) for sizes in zip(*(part.hardware for part in order), strict=True))),
            join([part.accumulates for part in order]),
        )

    together, backwards = stacked(parts).run(), stacked(parts[::-1]).run()
    for index, part in enumerate(parts):
        for batch, turned, alone in zip(together, backwards, part.run(), strict=True):
            np.testing.assert_array_equal(batch[index], alone[0])
            np.testing.assert_array_equal(turned[len(parts) - 1 - index], alone[0])


@few
@given(case=cases())
def test_products_are_all_made_and_operands_are_read(case: Cases) -> None:
    found, extents = case.run(), case.extents
    macs = extents.neuron * extents.neurons
    whole = all((extent % tile == 0).all() for extent, tile in zip(extents, case.tiles, strict=True))
    assert found.products == macs if whole else found.products >= macs
    assert found.sram_reads >= extents.k * extents.g * extents.neuron + extents.c * extents.g * extents.n
    assert found.sram_writes >= extents.neurons
    assert found.cycles > 0


@few
@given(case=cases())
def test_more_words_a_cycle_never_hurt_at_given_tiles(case: Cases) -> None:
    multipliers, ports, lines = case.hardware
    before = case.run().cycles
    for wider in (Hardware(multipliers, np.minimum(2 * ports, 64), lines), Hardware(multipliers, ports, 2 * lines)):
        faster = Cases(case.extents, case.stride, case.tiles, wider, case.accumulates).run().cycles
        assert (faster <= before).all()


@few
@given(case=cases())
def test_more_multipliers_with_their_ports_do_not_change_what_is_sent(case: Cases) -> None:
    multipliers, ports, lines = case.hardware
    larger = places(case.tiles, case.stride, case.returns, Hardware(2 * multipliers, 2 * ports, lines)).words()
    smaller = places(case.tiles, case.stride, case.returns, case.hardware).words()
    for wide, narrow in zip(larger, smaller, strict=True):
        np.testing.assert_array_equal(wide[:, : int(ports[0])], narrow)


def test_single_products_through_memory_by_hand() -> None:
    # Each output waits 4 cycles for every sum that comes back: multiplier, adder, bus line, memory.
    table = layers(conv(6, 3, 2, 3))
    cycles = Maeri(1.0, 16, 16, 8, 0).at(table, BITS, tiles()).detail["cycles"]
    folds, positions = 27, 36
    assert cycles.tolist() == [2 * (folds + positions * (1 + (folds - 1) * 4) + 1 + 3)]


ILLEGAL = {
    "covers nothing": ({"k": 0}, "field 'T_K' is 0 at [0]: it covers nothing of loop K of 8; accepted: 1 to 8"),
    "exceeds": ({"y": 9}, "field 'T_Y'' is 9 at [0]: it exceeds loop Y' of 8; accepted: 1 to 8"),
    "multipliers": ({"r": 3, "s": 3, "k": 8}, "tiles take 80 multipliers at [0], 16 more than there are: 64"),
}


@pytest.mark.parametrize("case", ILLEGAL)
def test_illegal_mappings_say_which_loop_and_by_how_much(case: str) -> None:
    sizes, message = ILLEGAL[case]
    with pytest.raises(BadConfig) as caught:
        Maeri(1.0, 64, 16, 16, 0).at(layers(conv(8, 4, 8, 3)), BITS, tiles(**sizes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("accumulates", [0, 1])
@pytest.mark.parametrize(
    "table", [layers(conv(6, 3, 4, 3)), layers(conv(6, 4, 4, 3, groups=4)), layers(linear(24, 10))]
)
def test_the_search_is_near_the_best_of_all_tiles(table: Layers, accumulates: int) -> None:
    model = Maeri(1.0, 32, 8, 8, accumulates)
    extents = tuple(int(size[0]) for size in loops(table))
    every = candidates(extents, 32, bool(accumulates), most=100)
    costs = model.at(table, BITS, every.of(np.s_[:, None])).detail["cycles"]
    found = model.cost(table, BITS).detail["cycles"]
    assert costs.min() <= found[0] <= 1.05 * costs.min()
    assert len(costs) > 20


def test_a_search_on_every_hardware() -> None:
    model = Maeri(1.0, np.array([64, 128]), 16, 16, 1)  # type: ignore[arg-type]
    for i, size in enumerate((64, 128)):
        alone = Maeri(1.0, size, 16, 16, 1).cost(layers(linear(8, 80)), BITS).latency_s
        assert model.cost(layers(linear(8, 80)), BITS).latency_s[i] == alone[0]
    costs = model.at(layers(linear(8, 8)), np.full((1, 2), 8), tiles(c=8, k=4))
    assert costs.latency_s.shape == (2,)
