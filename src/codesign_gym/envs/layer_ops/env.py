"""``codesign/LayerOps-v0`` as a Gymnasium environment and as a native vector environment."""

from __future__ import annotations

from codesign_gym.envs.core.configured import ConfiguredEnv, ConfiguredVectorEnv, Recipe
from codesign_gym.envs.layer_ops.factory import ONLY, Options, build, untabled

RECIPE = Recipe("codesign/LayerOps-v0", Options, build, untabled, ONLY)


class LayerOpsEnv(ConfiguredEnv):
    """Choose what every layer of a network computes, among operators, for a target device.

    ## Description

    The problem of FBNet (Wu et al., "FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural
    Architecture Search", CVPR 2019), LightNAS (Luo et al., DAC 2022), NASA's hybrids of convolutions, shifts and adders
    (Shi et al., ICCAD 2022) and NAS-Bench-201 (Dong and Yang, ICLR 2020). Layers (in a space of cells: edges) are
    visited from first to last; each takes one operator. After the last decision the design's quality is looked up or
    measured, and its cost is what the device's model says of its rows, or what a file of measurements says.

    ## Action Space

    One choice among the operators of the next layer, in the order of the space, which is about from cheap to dear. The
    number of actions is that of the layer with the most operators; those that a layer does not have are never legal.

    | `action`        | space                          | meaning                                        |
    |-----------------|--------------------------------|------------------------------------------------|
    | `discrete`      | `Discrete(n)`                  | index of the operator                          |
    | `multidiscrete` | `MultiDiscrete([n])`           | the same, as a vector of one                   |
    | `box`           | `Box(-1, 1, (1,), float32)`    | n equal intervals, one an operator             |

    A choice that is not legal is replaced by the nearest legal one and counted in `info["corrections"]`;
    `info["action_mask"]` and `action_masks()` tell which are legal.

    ## Observation Space

    `observation="decisions"`: `Box(-1, 1, (2 * layers + constraints,), float32)`.

    | num               | observation                                                            | min | max |
    |-------------------|------------------------------------------------------------------------|-----|-----|
    | 0 .. k - 1        | 1 for the next layer, else 0                                           | 0   | 1   |
    | k .. 2k - 1       | operator as a share of the layer's last, -1 where undecided            | -1  | 1   |
    | 2k ..             | share of each constraint still left                                    | -1  | 1   |

    `observation="rich"`, where scores and costs are sums over layers: `Box(-3, 3, (2 + n + constraints * (n + 1),),
    float32)`: how far the design is, the previous choice, for each of the n operators the logarithm of the predicted
    loss and of the usage of each constraint that it adds (standard deviations over the layers), and the share of each
    constraint that is left. It does not depend on the number of layers.

    With `mode="refine"`, actions and observations are those of
    :class:`~codesign_gym.envs.core.refine.RefineCore`: local moves from a complete random design.

    In both modes, with `preferences="sampled"`, the weights of the episode stand behind these, in [0, objectives].

    ## Rewards

    `reward="terminal"`: 0 until the last decision, then 0.1 for every hundredth of quality (percentage point of
    accuracy) more than the reference, the best there is in a table (term `objective`); with a `floor` the share of
    the cost of the dearest design that is saved. Each of `objectives` adds the saved share of a cost; terms are then
    called after their metrics, and multiplied by sampled `preferences`, which are drawn for every episode and add up to
    the number of objectives. `reward="dense"`: every decision earns the fall of the predicted loss (term `loss`)
    and pays for the usage that it adds (term `price`). `info["reward_terms"]` holds the terms; their sum is the reward.

    Constraints are kept by `enforcement`: `mask` leaves only choices from which they can all still be met (exact for
    sums over layers, and for tables of whole designs; a measured quality has no bounds), `project` repairs sums over
    layers at the end, `price` charges for usage at a rate that adapts after every episode, `none` leaves it to the
    agent. They combine: `price+project`.

    ## Starting State

    No layer decided. A seeded reset also forgets the price.

    ## Episode End

    Terminates after one decision a layer; with `mode="refine"` truncates after `steps` moves.

    ## Arguments

    See :class:`~codesign_gym.envs.layer_ops.factory.Options`; for instance

    ```python
    gymnasium.make("codesign/LayerOps-v0", space="nasa-add-all", budget={"energy": 0.5})  # on nasa-chunked
    gymnasium.make("codesign/LayerOps-v0", space="lana-digits", quality="measured", budget={"latency": 0.6})
    gymnasium.make("codesign/LayerOps-v0", space="fbnet-cifar", cost_file="operators.csv", cost_column="raspi4",
                   budget={"latency": "20 ms"})
    ```

    ## Registered Configurations

    `codesign/LayerOps-v0`: FBNet's space on pixel-3-cpu, a made-up quality, masks, terminal reward; without a budget
    until one is given. Another space comes with the device that its file names (`codesign-gym list spaces`).

    ## Version History

    * v0: initial version
    """

    recipe = RECIPE


class LayerOpsVectorEnv(ConfiguredVectorEnv):
    """The native vector environment of :class:`LayerOpsEnv`, with its options."""

    recipe = RECIPE
