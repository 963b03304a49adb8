"""``codesign/MixedPrecision-v0`` as a Gymnasium environment and as a native vector environment."""

from __future__ import annotations

from codesign_gym.envs.core.configured import ConfiguredEnv, ConfiguredVectorEnv, Recipe
from codesign_gym.envs.mixed_precision.factory import ONLY, Options, build

RECIPE = Recipe("codesign/MixedPrecision-v0", Options, build, only=ONLY)


class MixedPrecisionEnv(ConfiguredEnv):
    """Choose a weight and an activation bitwidth for every layer of a trained network on a target device.

    ## Description

    The problem of HAQ (Wang et al., "HAQ: Hardware-Aware Automated Quantization with Mixed Precision",
    CVPR 2019). Layers with weights are visited from first to last; each takes two decisions, the
    bitwidth of its weights and the bitwidth of the activations that enter it. After the last decision
    the quantized network is measured on images that training never saw, and the device's cost model
    says what the design costs.

    ## Action Space

    One choice among the bitwidths, lowest first (``bits``, by default 2 to 8):

    | `action`        | space                          | meaning                                                      |
    |-----------------|--------------------------------|--------------------------------------------------------------|
    | `discrete`      | `Discrete(7)`                  | index of the bitwidth                                        |
    | `multidiscrete` | `MultiDiscrete([7])`           | the same, as a vector of one                                 |
    | `box`           | `Box(-1, 1, (1,), float32)`    | seven equal intervals, one per bitwidth (HAQ's map, shifted) |

    A choice that is not legal is replaced by the nearest legal one and counted in
    `info["corrections"]`; `info["action_mask"]` and `action_masks()` tell which are legal. The first and
    the last layer are pinned to the highest bitwidth unless `pinned="none"`.

    | algorithm                                | views                                   |
    |------------------------------------------|-----------------------------------------|
    | PPO, A2C                                 | `discrete`, `multidiscrete`, `box`      |
    | MaskablePPO                              | `discrete`, `multidiscrete`             |
    | DQN                                      | `discrete`                              |
    | DDPG, TD3, SAC                           | `box`                                   |

    ## Observation Space

    `observation="haq"`: `Box(0, 1, (10,), float32)`, each column scaled over the layers.

    | num | observation                      | min | max |
    |-----|----------------------------------|-----|-----|
    | 0   | depthwise convolution            | 0   | 1   |
    | 1   | input channels                   | 0   | 1   |
    | 2   | output channels                  | 0   | 1   |
    | 3   | stride                           | 0   | 1   |
    | 4   | kernel                           | 0   | 1   |
    | 5   | weights                          | 0   | 1   |
    | 6   | input pixels                     | 0   | 1   |
    | 7   | layer index                      | 0   | 1   |
    | 8   | previous bitwidth / highest      | 0   | 1   |
    | 9   | 0 weights, 1 activations         | 0   | 1   |

    `observation="rich"`: behind these, for every bitwidth the logarithm of the predicted loss and of
    the usage of each constraint that it adds (standard deviations, in [-3, 3]), and the share of each
    constraint that is left (in [-1, 1]).

    With `preferences="sampled"`, the weights of the episode stand behind either, in [0, objectives].

    ## Rewards

    `reward="terminal"`: 0 until the last decision, then 0.1 for every percentage point of accuracy
    gained on the highest bitwidth everywhere (term `objective`); with an accuracy floor the share of
    the cost that is saved. Each of `objectives` adds the saved share of a cost, by its weight; terms are
    then called after their metrics, and multiplied by sampled `preferences`, which are drawn for every
    episode and add up to the number of objectives. `reward="dense"`: every decision earns the fall of the
    predicted loss (term `loss`), with several objectives of the sum of what they lose, and pays for the
    usage it adds (term `price`). `info["reward_terms"]` holds the terms; their sum is the reward.

    Constraints are kept by `enforcement`: `project` lowers bitwidths from the last layer to the first
    until the budget is met, `mask` leaves only choices from which it can be met, `price` charges for
    usage at a rate that adapts after every episode (`info["usage"]` is the running usage, 1 the limit,
    for algorithms that take a cost signal), `none` leaves it to the agent. They combine: `price+project`.

    ## Starting State

    No layer decided. A seeded reset also forgets the price.

    ## Episode End

    Terminates after two decisions per layer; never truncates.

    ## Arguments

    See :class:`~codesign_gym.envs.mixed_precision.factory.Options`; for instance

    ```python
    gymnasium.make("codesign/MixedPrecision-v0", network="digits-cnn", device="bismo-edge", budget={"latency": 0.5})
    gymnasium.make("codesign/MixedPrecision-v0", objectives={"latency": 2, "energy": 2}, preferences="sampled")
    ```

    ## Registered Configurations

    `codesign/MixedPrecision-v0`: digits-cnn on bitfusion, terminal reward, HAQ's observations,
    projection; without a budget until one is given.

    ## Version History

    * v0: initial version
    """

    recipe = RECIPE


class MixedPrecisionVectorEnv(ConfiguredVectorEnv):
    """The native vector environment of :class:`MixedPrecisionEnv`, with its options."""

    recipe = RECIPE
