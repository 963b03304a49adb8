"""``codesign/Accelerator-v0`` as a Gymnasium environment and as a native vector environment."""

from __future__ import annotations

from codesign_gym.envs.accelerator.factory import ONLY, Options, build
from codesign_gym.envs.core.configured import ConfiguredEnv, ConfiguredVectorEnv, Recipe

RECIPE = Recipe("codesign/Accelerator-v0", Options, build, only=ONLY)


class AcceleratorEnv(ConfiguredEnv):
    """Choose the knobs of one accelerator that serves given networks.

    ## Description

    A template says which numbers of a device are chosen, and from which values; the device's cost model answers with
    latency, energy, area and resources. Templates are YAML files: `codebench` (CODEBench's grid of sparse MAC lanes,
    69,957,888 designs; Tuli, Li, Sharma and Jha, ACM TECS 2023), `fpga-engine` (filters, channels, positions and
    buffers within a board's DSPs, BRAM and LUTs; Fan et al., ASP-DAC 2022), `loopnest` (rows, columns, memories, DRAM
    width and dataflow of a Gemmini-like machine, each design at the fastest mappings found), `maeri` and `sigma`
    (multipliers, bandwidths and accumulation buffer as Bifrost configures them), and files of one's own. Several
    networks may be given with weights: latency and energy are weighted sums over them.

    Most templates are formulas, of which thousands of designs take milliseconds. `loopnest` and `maeri` search mappings
    for every new design: of resnet18 about 0.15 and 0.05 s on one core. Batches are searched together, and what was
    searched for is remembered.

    Latency and energy are those of an image: of a batch, divided by its images, so that a larger batch is not for
    that reason a slower design. CODEBench's measure of performance also has a term for accuracy, which for given
    networks is a constant and left out.

    ## Action Space

    `mode="construct"`: one choice, of the knobs in the template's order. The number of actions is that of the knob with
    the most choices; those that a knob does not have are never legal. `mode="refine"`: one move: an ordered knob down
    or up by one, an unordered knob to any value, or nothing (the last).

    | `action`        | space                          | meaning                                        |
    |-----------------|--------------------------------|------------------------------------------------|
    | `discrete`      | `Discrete(n)`                  | index of the choice or move                    |
    | `multidiscrete` | `MultiDiscrete([n])`           | the same, as a vector of one                   |
    | `box`           | `Box(-1, 1, (1,), float32)`    | n equal intervals, one a choice or move        |

    What is not legal is replaced by the nearest legal action and counted in `info["corrections"]`;
    `info["action_mask"]` and `action_masks()` tell what is legal, as int8; a random legal action is
    `env.action_space.sample(info["action_mask"])`, or `env.action_space.sample((info["action_mask"],))` of
    `MultiDiscrete`.

    ## Observation Space

    `mode="construct"`: `Box(-1, 1, (2 * knobs + limits,), float32)`.

    | num                | observation                                                              | min | max |
    |--------------------|--------------------------------------------------------------------------|-----|-----|
    | 0 .. k - 1         | 1 for the next knob, else 0                                              | 0   | 1   |
    | k .. 2k - 1        | choice as a share of the knob's highest, -1 where undecided              | -1  | 1   |
    | 2k ..              | share of each limit beyond the least that must still be used             | -1  | 1   |

    `mode="refine"`: `Box(-1, 1, (knobs + limits + 2,), float32)`.

    | num                | observation                                                              | min | max |
    |--------------------|--------------------------------------------------------------------------|-----|-----|
    | 0 .. k - 1         | choice as a share of the knob's highest                                  | 0   | 1   |
    | k ..               | share of each limit that is left                                         | -1  | 1   |
    | next to last       | hyperbolic tangent of the score                                          | -1  | 1   |
    | last               | share of the episode's moves that is left                                | 0   | 1   |

    With `preferences="sampled"` the weights of the episode stand behind these, in [0, objectives].

    ## Rewards

    The score is a sum over the template's objectives of `weight * (1 - metric / reference)`, where the reference is the
    template's, or the figure of the device's own design. `construct` pays it after the last knob, a term per objective;
    `refine` pays at every move by how much it rose. With `price` in `enforcement` both charge for what is used beyond
    the limits (term `price`). Sampled `preferences` are drawn for every episode, add up to the number of objectives and
    multiply their terms. `info["reward_terms"]` holds the terms; their sum is the reward.

    Limits are the template's and those of `budget`. `mask` leaves only choices from which the limits on the hardware
    itself (area, DSPs, BRAM, LUTs, multipliers) can still be kept: every knob adds to them or takes from them whatever
    the others are, so nothing is lost and nothing gets through. Limits on latency and energy are left to `price`.

    ## Starting State

    `construct`: nothing decided. `refine`: a random design, within the limits on the hardware where they are masked. A
    seeded reset also forgets the price.

    ## Episode End

    `construct` terminates after one decision a knob. `refine` truncates after `steps` moves.

    ## Arguments

    See :class:`~codesign_gym.envs.accelerator.factory.Options`; for instance

    ```python
    gymnasium.make("codesign/Accelerator-v0", template="fpga-engine", device="fpga-ultra96", network="mobilenetv2")
    gymnasium.make("codesign/Accelerator-v0", network={"resnet18": 0.7, "vgg16": 0.3}, mode="refine")
    ```

    ## Registered Configurations

    `codesign/Accelerator-v0`: template codebench for resnet18, constructed, without a budget.

    ## Version History

    * v0: initial version
    """

    recipe = RECIPE


class AcceleratorVectorEnv(ConfiguredVectorEnv):
    """The native vector environment of :class:`AcceleratorEnv`, with its options."""

    recipe = RECIPE
