"""``codesign/CoDesign-v0`` as a Gymnasium environment and as a native vector environment."""

from __future__ import annotations

from codesign_gym.envs.codesign.factory import ONLY, Options, build
from codesign_gym.envs.core.configured import ConfiguredEnv, ConfiguredVectorEnv, Recipe

RECIPE = Recipe("codesign/CoDesign-v0", Options, build, only=ONLY)


class CoDesignEnv(ConfiguredEnv):
    """Choose a network's operators, every layer's bitwidths and the accelerator that runs it, all together.

    ## Description

    What CODEBench (Tuli et al., ACM TECS 2023), Fan et al. (ASP-DAC 2022) and NASA (Shi et al., ICCAD 2022) search in
    one way or another: network and hardware at once. First the knobs of an accelerator `template` are set, within the
    limits of the board or the chip; then every layer of an operator `space` takes an operator, the bitwidth of its
    weights and that of the activations that enter it. The finished network is measured (a weight-sharing supernet
    trained here on real images, its statistics taken anew, quantized after training), and the accelerator's cost model
    answers with its latency, energy, area and resources.

    Templates whose model searches mappings (`loopnest`, `maeri`) are refused: every step would search for other layers.
    So are spaces with shift and adder layers (NASA's hybrids), for which no template has hardware: they are searched on
    the device `nasa-chunked` by `codesign/LayerOps-v0`.

    ## Action Space

    One choice, lowest first: of a knob of the template, then of operator, `weight_bits` and `activation_bits`, layer
    by layer. The number of actions is that of the knob with the most choices; those that a knob does not have are
    never legal.

    | `action`        | space                          | meaning                                        |
    |-----------------|--------------------------------|------------------------------------------------|
    | `discrete`      | `Discrete(n)`                  | index of the choice                            |
    | `multidiscrete` | `MultiDiscrete([n])`           | the same, as a vector of one                   |
    | `box`           | `Box(-1, 1, (1,), float32)`    | n equal intervals, one a choice                |

    In mode `refine` the actions are moves: one step down or up an ordered knob, any value of another, or none.

    A choice that is not legal is replaced by the nearest legal one and counted in `info["corrections"]`;
    `info["action_mask"]` and `action_masks()` tell which are legal, as int8; a random legal action is
    `env.action_space.sample(info["action_mask"])`, or `env.action_space.sample((info["action_mask"],))` of
    `MultiDiscrete`.

    ## Observation Space

    `construct`: `Box(-1, 1, (2 * knobs + constraints,), float32)`.

    | num            | observation                                                              | min | max |
    |----------------|--------------------------------------------------------------------------|-----|-----|
    | 0 .. k - 1     | 1 for the next knob, else 0                                              | 0   | 1   |
    | k .. 2k - 1    | choice as a share of the knob's highest, -1 where undecided              | -1  | 1   |
    | 2k ..          | share of each limit that is left; all of it where nothing is known yet   | -1  | 1   |

    `refine`: `Box(-1, 1, (knobs + constraints + 2,), float32)`: choices, what is left of each limit, the score
    (squashed by tanh), and the share of the moves that is left.

    In both modes, with `preferences="sampled"`, the weights of the episode stand behind these, in [0, objectives].

    ## Rewards

    `construct`: 0 until the last decision, then a term per objective, named by its metric: twice the quality (or
    accuracy) gained on the dearest operators at the highest bitwidths, and the template's weight times the share of a
    cost that is saved; `price` charges for what exceeds a limit. `refine`: every move earns the change of these.
    Sampled `preferences` are drawn for every episode, add up to the number of objectives and multiply their terms.
    `info["reward_terms"]` holds the terms; their sum is the reward. `codesign/MultiObjective-v0` gives them as
    a vector.

    Limits on the hardware (look-up tables, DSPs, block memories, area) are kept by masks, exactly; those on latency,
    energy and quality are known when the design is finished, and priced.

    ## Starting State

    Nothing decided, or in mode `refine` a random design whose hardware keeps its limits. A seeded reset also forgets
    the price.

    ## Episode End

    `construct` terminates after one decision a knob; `refine` is truncated after `steps` moves.

    ## Arguments

    See :class:`~codesign_gym.envs.codesign.factory.Options`; for instance

    ```python
    gymnasium.make("codesign/CoDesign-v0", template="fpga-engine", space="fbnet", quality="tabular")
    ```

    ## Registered Configurations

    `codesign/CoDesign-v0`: BISMO's bit-serial grid on a Zynq-7020, FBNet's blocks in four layers on handwritten
    digits, bitwidths 4, 6 and 8, measured accuracy.

    ## Version History

    * v0: initial version
    """

    recipe = RECIPE


class CoDesignVectorEnv(ConfiguredVectorEnv):
    """The native vector environment of :class:`CoDesignEnv`, with its options."""

    recipe = RECIPE
