"""What CODEBench's accelerator template is made of: synthesis results, memories, and the values of its knobs.

Tuli, Li, Sharma and Jha, "CODEBench: A Neural Architecture and Hardware Accelerator Co-Design Framework", ACM TECS
2023; figures as in AccelBench, its public simulator (github.com/jha-lab/codebench, ``accelbench/run.py``). Logic:
synthesis in a 14 nm FinFET library at 0.8 V, reported at 700 MHz. On-chip buffers: CACTI. Main memories: NVMain.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import NamedTuple

#: Clock at which dynamic power was reported; energy per cycle is power over this.
REPORTED_HZ = 700e6


class Module(NamedTuple):
    """One instance of a synthesised module."""

    area_um2: float
    dynamic_mw: float  # at REPORTED_HZ
    leakage_mw: float

    @property
    def j_per_cycle(self) -> float:
        """Dynamic energy of a working cycle."""
        return self.dynamic_mw * 1e-3 / REPORTED_HZ


#: Modules by AccelBench's name; MAC lanes with a ReLU behind them. Im2Col's power is as reported, three orders of
#: magnitude above that of modules of its size: it dominates the energy of convolutions.
MODULES: Mapping[str, Module] = MappingProxyType(
    {
        "MacLane_Pif1_ReLU": Module(597.964253, 0.2756146, 0.0223711),
        "MacLane_Pif16_ReLU": Module(8819.484999, 4.8926, 0.3003308),
        "DataFlow": Module(75946.982008, 11.3711, 2.7312),
        "DMA": Module(144.636242, 0.0335287, 0.0063819),
        "FIFO": Module(484.37911, 0.0563909, 0.0140774),
        "BatchNorm": Module(14654.491357, 8.3914, 0.5323004),
        "Im2Col": Module(14307.182942, 423.0658, 0.396345),
        "Pooling": Module(3395.049675, 1.143, 0.1281938),
        "GlobalAvgPooling": Module(0.0, 1.2148, 0.0848479),  # its area is part of Pooling's
        "PreSparsity": Module(6216.896914, 0.2852968, 0.1507329),
        "PostSparsity": Module(1181.201447, 0.2613971, 0.0324301),
        "Upsampling": Module(749.704715, 0.1503713, 0.0293699),
    }
)

#: Instances of each module but the MAC lanes: per processing element, per lane, per MAC of a lane.
PER_ELEMENT = ("DataFlow", "DMA", "BatchNorm", "Pooling", "GlobalAvgPooling", "Upsampling")
PER_LANE = ("Im2Col", "PreSparsity", "PostSparsity")
FIFOS_PER_MAC = 2  # an activation and a weight


class Buffer(NamedTuple):
    """An on-chip buffer of a reference size; energy grows with the root of the size, the rest with the size."""

    megabytes: float
    read_nj: float  # per access
    write_nj: float
    leakage_mw: float
    area_mm2: float


BUFFERS: Mapping[str, Buffer] = MappingProxyType(
    {
        "weight": Buffer(24, 0.42123, 0.418051, 5049.712, 7.05842),
        "activation": Buffer(12, 0.275546, 0.273688, 2975.024, 3.63967),
        "mask": Buffer(4, 0.164271, 0.163756, 952.784, 1.21026),
    }
)


class Memory(NamedTuple):
    """A main memory and the energy of one access."""

    kind: str
    banks: int
    ranks: int
    channels: int
    access_nj: float


#: Main memories; a design names one by its position here.
MEMORIES = (
    Memory("RRAM", 16, 2, 2, 17.321165),
    Memory("RRAM", 8, 2, 4, 32.655499),
    Memory("RRAM", 4, 2, 8, 69.3328008),
    Memory("RRAM", 2, 2, 16, 149.0564671),
    Memory("RRAM", 32, 2, 1, 8.63281599),
    Memory("RRAM", 1, 2, 32, 340.9690911),
    Memory("DRAM", 16, 2, 2, 69.00706337),
    Memory("DRAM", 8, 2, 4, 200.2819855),
    Memory("DRAM", 32, 2, 1, 53.43777522),
    Memory("DRAM", 16, 4, 1, 38.28777884),
    Memory("HBM", 32, 1, 4, 26.5569841),
)

_MEGABYTES = (1, *range(2, 25, 2))

#: The template's knobs and their values; all but ``batch``, which is a column of the layer table, are fields of
#: :class:`~codesign_gym.simulators.hardware.accelbench.cost.AccelBench`.
#: (The 13 numbers of the published embedding write
#: ``kernel`` twice and the memory as a type and a configuration, and hold the mask buffer, which is derived.)
KNOBS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "pib": (1, 2, 3, 4),
        "pif": (1, 16),
        "pix": (1, 2, 3, 4, 5, 6, 7),
        "piy": (1, 2, 3, 4, 5, 6, 7),
        "pof": (1, 2, 3, 4),
        "kernel": (1, 3, 5, 7),
        "batch": (1, 32, 64, 128, 256, 512),
        "activation_buffer_mb": _MEGABYTES,
        "weight_buffer_mb": _MEGABYTES,
        "memory": tuple(range(len(MEMORIES))),
    }
)

#: Designs of the whole template: 69,957,888, twice the published count.
DESIGNS = prod(len(values) for values in KNOBS.values())
