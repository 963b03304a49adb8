"""``codesign/EarlyExit-v0`` as a Gymnasium environment and as a native vector environment."""

from __future__ import annotations

from codesign_gym.envs.core.configured import ConfiguredEnv, ConfiguredVectorEnv, Recipe
from codesign_gym.envs.early_exit.factory import ONLY, Options, build

RECIPE = Recipe("codesign/EarlyExit-v0", Options, build, only=ONLY)


class EarlyExitEnv(ConfiguredEnv):
    """Choose exits, the confidence that suffices to take them, and clocks, for a trained network on a device.

    ## Description

    The inner problem of HADAS (Bouzidi et al., "HADAS: Hardware-Aware Dynamic Neural Architecture Search for Edge
    Performance Scaling", DATE 2023), and with several `backbones` the whole of it. A network with a classifier behind
    each of its stages was trained for real and its answers to held-out images were recorded. A sample leaves by the
    first placed exit whose softmax confidence reaches the threshold, else by the last. The agent decides which exits
    to place, the threshold and a clock for every domain of the device; the record then says the accuracy, and the
    device's model the energy and latency that are expected of a sample and the latency of one that goes all the way.

    ## Action Space

    One choice, lowest first: of `backbone` (where there are several), of `exit1`, `exit2`, ... (0 no, 1 yes), of
    `threshold`, and of a clock for each domain (`cpu_hz`, `gpu_hz`, `memory_hz`). The number of actions is that of
    the knob with the most choices; those that a knob does not have are never legal.

    | `action`        | space                          | meaning                                        |
    |-----------------|--------------------------------|------------------------------------------------|
    | `discrete`      | `Discrete(n)`                  | index of the choice                            |
    | `multidiscrete` | `MultiDiscrete([n])`           | the same, as a vector of one                   |
    | `box`           | `Box(-1, 1, (1,), float32)`    | n equal intervals, one a choice                |

    A choice that is not legal is replaced by the nearest legal one and counted in `info["corrections"]`;
    `info["action_mask"]` and `action_masks()` tell which are legal.

    ## Observation Space

    `Box(-1, 1, (2 * knobs + 2,), float32)`.

    | num                | observation                                                              | min | max |
    |--------------------|--------------------------------------------------------------------------|-----|-----|
    | 0 .. k - 1         | 1 for the next knob, else 0                                              | 0   | 1   |
    | k .. 2k - 1        | choice as a share of the knob's highest, -1 where undecided              | -1  | 1   |
    | 2k, 2k + 1         | share of the accuracy that may be lost, and of the deadline, still left  | -1  | 1   |

    With `preferences="sampled"`, the weights of the episode stand behind these, in [0, objectives].

    ## Rewards

    `reward="terminal"`: 0 until the last decision, then the share of the energy of the full first backbone at maximum
    clocks that is saved (term `objective`). Each of `objectives` adds the saved share of a latency, or the accuracy
    beyond that of the full first backbone, by its weight; terms are then called after their metrics, and multiplied by
    sampled `preferences`, which are drawn for every episode and add up to the number of objectives.
    `reward="dense"`: every decision earns the fall of the predicted logarithm of the energy (term `loss`), with several
    objectives of the sum of energy, latency and wrong answers by what they are worth. Both pay the price of usage (term
    `price`). `info["reward_terms"]` holds the terms; their sum is the reward.

    Constraints are kept by `enforcement`: `mask` leaves only choices from which a feasible design may still be
    reached, by sums over knobs that no feasible design exceeds, so that none is lost; what they let through can
    still miss a limit, as accuracy and latency here are no sums over knobs. `price` charges for usage at a rate that
    adapts after every episode, `none` leaves it to the agent, `mask+price` does both. There is no `project`.

    ## Starting State

    Nothing decided. A seeded reset also forgets the price.

    ## Episode End

    Terminates after one decision a knob; never truncates.

    ## Arguments

    See :class:`~codesign_gym.envs.early_exit.factory.Options`; for instance

    ```python
    gymnasium.make("codesign/EarlyExit-v0", device="jetson-agx-xavier", floor=0.5, slack=1.25)
    gymnasium.make("codesign/EarlyExit-v0", objectives={"latency": 0.5, "accuracy": 10}, preferences="sampled")
    ```

    ## Registered Configurations

    `codesign/EarlyExit-v0`: digits-exits on jetson-tx2, its work counted at 224 x 224 pixels (at the digits' own
    8 x 8 a Jetson only starts kernels), board energy, half a point of accuracy, 1.25 of the latency at maximum clocks.

    ## Version History

    * v0: initial version
    """

    recipe = RECIPE


class EarlyExitVectorEnv(ConfiguredVectorEnv):
    """The native vector environment of :class:`EarlyExitEnv`, with its options."""

    recipe = RECIPE
