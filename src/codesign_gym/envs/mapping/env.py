"""``codesign/Mapping-v0`` as a Gymnasium environment and as a native vector environment."""

from __future__ import annotations

from codesign_gym.envs.core.configured import ConfiguredEnv, ConfiguredVectorEnv, Recipe
from codesign_gym.envs.mapping.factory import ONLY, Options, build

RECIPE = Recipe("codesign/Mapping-v0", Options, build, only=ONLY)


class MappingEnv(ConfiguredEnv):
    """Choose how each layer of a network runs on a machine: loop order, dataflow, tiles.

    ## Description

    The machine is given, and its cost model runs every layer as it is mapped. Three kinds of machine have mappings:

    - `maeri-128`, `maeri-256`: how much of every loop is worked on at a time, T_R, T_S, T_C, T_K, T_G, T_X, T_Y, as
      Bifrost tunes them (Stjerngren, Gibson, Cano, ISPASS 2022); the products of the tiles, and a multiplier for
      partial sums that come back, fit the multipliers;
    - `gemmini-like`, `eyeriss-like`, `tpu-like`, `simba-like`: which loops are spread over the array (`cut`), the level
      of the memory hierarchy at which each prime factor of the others lies (`factor<i>`), and the tensor that stays at
      each level (`l0`, `l1`, `l2`, `dram`); every tile fits its buffer;
    - `nasa-chunked`: what NASA's auto-mapper chooses (Shi et al., ICCAD 2022): dataflow, fill of the PEs, parts into
      which the buffer's tile is cut, and the tensor that stays in the buffer; the tile fits the global buffer.

    Layers run one after another: latencies, energies and partial sums add up. A knob is named after its layer.

    ## Action Space

    `mode="construct"`: one choice, layer by layer. The number of actions is that of the knob with the most choices;
    those that a knob does not have are never legal. `mode="refine"`: one move: an ordered knob down or up by one, an
    unordered knob to any value, or nothing (the last).

    | `action`        | space                          | meaning                                        |
    |-----------------|--------------------------------|------------------------------------------------|
    | `discrete`      | `Discrete(n)`                  | index of the choice or move                    |
    | `multidiscrete` | `MultiDiscrete([n])`           | the same, as a vector of one                   |
    | `box`           | `Box(-1, 1, (1,), float32)`    | n equal intervals, one a choice or move        |

    What is not legal is replaced by the nearest legal action and counted in `info["corrections"]`;
    `info["action_mask"]` and `action_masks()` tell what is legal.

    ## Observation Space

    `mode="construct"`: `Box(-1, 1, (2 * knobs + 1,), float32)`.

    | num                | observation                                                              | min | max |
    |--------------------|--------------------------------------------------------------------------|-----|-----|
    | 0 .. k - 1         | 1 for the next knob, else 0                                              | 0   | 1   |
    | k .. 2k - 1        | choice as a share of the knob's highest, -1 where undecided              | -1  | 1   |
    | 2k                 | 0, or less by what the choices so far take beyond the machine            | -1  | 0   |

    `mode="refine"`: `Box(-1, 1, (knobs + 3,), float32)`.

    | num                | observation                                                              | min | max |
    |--------------------|--------------------------------------------------------------------------|-----|-----|
    | 0 .. k - 1         | choice as a share of the knob's highest                                  | 0   | 1   |
    | k                  | 0, or less by what the mappings take beyond the machine                  | -1  | 0   |
    | k + 1              | hyperbolic tangent of the score                                          | -1  | 1   |
    | k + 2              | share of the episode's moves that is left                                | 0   | 1   |

    With `preferences="sampled"`, which takes several objectives, their weights stand behind these, in [0, objectives].

    ## Rewards

    The score is the logarithm to base 2 of how many times less of the `objective` (`latency`, `energy`, `energy-delay`,
    or on MAERI `psums`) is needed than with every layer's default mapping, the one that takes least of the machine: on
    MAERI, as in Bifrost, single products. `construct` pays it after the last knob, `refine` at every move by how much
    it rose (term `objective`). Of several objectives the gains are added, a term each, named after their metrics
    (`log2_gain_latency`); sampled `preferences` are drawn for every episode, add up to the number of objectives and
    multiply the terms. With `price` in `enforcement` both charge for what does not fit (term `price`).

    `mask` leaves only choices from which every layer's mapping can still fit; none is lost and no other gets through.
    Without it a layer whose mapping does not fit costs what its default mapping does.

    ## Starting State

    `construct`: nothing decided. `refine`: a random design, of mappings that fit where they are masked. A seeded reset
    also forgets the price.

    ## Episode End

    `construct` terminates after one decision a knob. `refine` truncates after `steps` moves.

    ## Arguments

    See :class:`~codesign_gym.envs.mapping.factory.Options`; for instance

    ```python
    gymnasium.make("codesign/Mapping-v0", network="alexnet", layers=["features.3"], device="maeri-128")
    gymnasium.make("codesign/Mapping-v0", device="nasa-chunked", objective="energy-delay")
    gymnasium.make("codesign/Mapping-v0", objective=["latency", "energy"], preferences="sampled")
    ```

    ## Registered Configurations

    `codesign/Mapping-v0`: all of alexnet on maeri-128, latency, constructed; with `device="nasa-chunked"` all of
    resnet18, as no tile of alexnet's fully connected layers fits its buffer.

    ## Version History

    * v0: initial version
    """

    recipe = RECIPE


class MappingVectorEnv(ConfiguredVectorEnv):
    """The native vector environment of :class:`MappingEnv`, with its options."""

    recipe = RECIPE
