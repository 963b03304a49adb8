"""What is run at which scale."""

from __future__ import annotations

from dataclasses import dataclass

SEEDS = (0, 1, 2)
NETWORKS = {"small": ("digits-cnn-deep",), "full": ("digits-cnn-deep", "fashion-resnet8")}
DEVICES = {"small": ("gemmini-16x16",), "full": ("gemmini-16x16", "eyeriss-like")}
#: Shares of the teacher's latency, tightest first; two thirds is the 1.5x of the claim.
SHARES = {"small": (0.4, 0.6), "full": (0.25, 0.3, 0.4, 0.6)}


@dataclass(frozen=True)
class Case:
    """A teacher on a device.

    Attributes:
        network: its id.
        device: its id.
        seed: of the operators' distillation, of random designs, of the agent and of the last training.
        share: of the teacher's latency.
        agent: where one searches.
        evaluations: that it may spend.
    """

    network: str
    device: str
    seed: int
    share: float = 1.0
    agent: str = ""
    evaluations: int = 0


def cases(scale: str, networks: tuple[str, ...], shares: tuple[float, ...] = (1.0,)) -> list[Case]:
    """Every network on every device with every seed and share."""
    return [
        Case(network, device, seed, share)
        for network in networks
        for device in DEVICES[scale]
        for seed in SEEDS
        for share in shares
    ]
