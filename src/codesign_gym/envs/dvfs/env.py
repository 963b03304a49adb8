"""``codesign/Dvfs-v0`` as a Gymnasium environment and as a native vector environment."""

from __future__ import annotations

from codesign_gym.envs.core.configured import ConfiguredEnv, ConfiguredVectorEnv, Recipe
from codesign_gym.envs.dvfs.factory import ONLY, Options, build

RECIPE = Recipe("codesign/Dvfs-v0", Options, build, only=ONLY, default_grant=200_000)


class DvfsEnv(ConfiguredEnv):
    """Set clocks and an exit threshold while requests arrive, the chip warms up and deadlines pass.

    ## Description

    A device answers requests with a network that has exits. Every control interval the agent sets the clock of each
    domain (CPU, GPU, memory) and the confidence at which a request may leave early. Requests come by an arrival
    process, wait in a queue and are served one after another; each brings an image whose confidence and correctness
    at every exit were recorded from a trained network. Higher clocks answer sooner and draw more power; heat raises
    leakage, and above a threshold the device throttles. A change of clocks takes time and energy. A device that is out
    of work enters an idle state by itself: the deepest one that is worth while over the gap it expects between
    requests. What it draws meanwhile is less, and every request waits until it has woken.

    ## Action Space

    A position per clock domain, slowest clock first, and one of the exit threshold, the last of which is never to
    leave early. For Jetson TX2:

    | `action`        | space                       | meaning                                              |
    |-----------------|-----------------------------|------------------------------------------------------|
    | `box`           | `Box(-1, 1, (4,), float32)` | per choice equal intervals, one a position           |
    | `multidiscrete` | `MultiDiscrete` of 4        | the positions                                        |
    | `discrete`      | `Discrete` of their product | the combination's number, the threshold fastest      |

    A throttled device caps its clocks; `info["clocks"]` tells which ran. No action is masked.

    ## Observation Space

    `Box(-1, 1, (columns,), float32)`; larger quantities saturate. Groups can be left out by `hidden`.

    | group         | columns                                                                               |
    |---------------|---------------------------------------------------------------------------------------|
    | `queue`       | open requests / capacity; share of the one in service that is still to do             |
    | `deadline`    | time left to the oldest open request / deadline; 1 if none is open                    |
    | `demand`      | arrivals in the last interval / 8; their running mean                                |
    | `temperature` | junction, 0 at 25 degrees Celsius and 1 where throttling engages; whether throttled   |
    | `power`       | mean power of each domain and the rest of the board / most power                      |
    | `utilisation` | busy share of each domain in the last interval                                        |
    | `clocks`      | last positions / highest, threshold included                                          |
    | `exits`       | running mean of requests an interval that left by each exit / 8                       |

    ## Rewards

    The sum of named terms, `info["reward_terms"]`, none above 0, with weights among the arguments: `energy` (1 for an
    interval at the highest clocks and always busy), `misses` (per request answered late or dropped), `accuracy` (per
    wrong answer), `throttling` (per interval). `codesign/MultiObjective-v0` makes a vector of those that have a weight.

    ## Starting State

    Nothing waits, temperatures are those of the air, clocks are the highest. All that is random in an episode
    (arrivals, images, the air's temperature, capacitances) is drawn in one block at the start.

    ## Episode End

    Truncates after `horizon` intervals; never terminates.

    ## Arguments

    See :class:`~codesign_gym.envs.dvfs.factory.Options`; for instance

    ```python
    gymnasium.make("codesign/Dvfs-v0", device="jetson-tx2", arrivals="poisson", load=0.4, ambient_c=(15, 35))
    ```

    ## Registered Configurations

    `codesign/Dvfs-v0`: digits-exits at 768 x 768 pixels on a Jetson TX2, bursty requests, every threshold that costs
    at most half a percentage point of accuracy.

    ## Version History

    * v0: initial version
    """

    recipe = RECIPE


class DvfsVectorEnv(ConfiguredVectorEnv):
    """The native vector environment of :class:`DvfsEnv`, with its options."""

    recipe = RECIPE
