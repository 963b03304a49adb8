"""AccelBench's constants against its tables: areas, powers and energies of modules and memories, and values of knobs.

The simulator's cycles are not in the tables. A table may hold other modules than the model uses (activation functions,
losses, ...): those that both have are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from codesign_gym.simulators.hardware.accelbench.synthesis import BUFFERS, KNOBS, MEMORIES, MODULES
from codesign_gym.simulators.hardware.verification.check import (
    Bar,
    Check,
    NotRun,
    TableAbsent,
    check,
    csv_table,
    json_table,
)

CONSTANTS, SYNTHESIS = "accelbench/accelbench_constants.json", "accelbench/rtl_synthesis_summary.csv"
EXACT = Bar(exact_share=1.0)

#: Columns of the constants of a module, and ours.
MODULE = {"area": "area_um2", "dynamic": "dynamic_mw", "leakage": "leakage_mw"}

#: Columns of the constants of a buffer, and ours.
BUFFER = {"read_nJ": "read_nj", "write_nJ": "write_nj", "leakage_mW": "leakage_mw", "area": "area_mm2"}

#: Synthesised designs by the summary's name, and the module that they are; mean pooling is a part of pooling.
SYNTHESISED = {
    "dataflow": "DataFlow",
    "dma_axi64": "DMA",
    "fifo": "FIFO",
    "forward": "BatchNorm",
    "im2col_cpu": "Im2Col",
    "pooling": "Pooling",
    "global_avg_pooling": "GlobalAvgPooling",
    "sparsity": "PreSparsity",
    "post_sparsity": "PostSparsity",
    "upsample": "Upsampling",
}

#: Names of the knobs in the constants.
KNOB_NAMES = {
    "Pib": "pib",
    "Pif": "pif",
    "Pix": "pix",
    "Piy": "piy",
    "Pof": "pof",
    "Pkx=Pky": "kernel",
    "batch": "batch",
    "act_buffer_MB": "activation_buffer_mb",
    "weight_buffer_MB": "weight_buffer_mb",
}

MILLIWATTS = {"W": 1e3, "mW": 1.0, "uW": 1e-3, "nW": 1e-6}


def verify(folder: Path) -> list[Check | NotRun]:
    """Everything of the two tables that the model is built on."""
    found: list[Check | NotRun] = []
    for table, checks in ((CONSTANTS, _constants), (SYNTHESIS, _synthesis)):
        try:
            found += checks(folder)
        except TableAbsent as absent:
            found.append(NotRun("constants", table, str(absent)))
    return [*found, NotRun("cycles", CONSTANTS, "the tables hold no runs of the simulator")]


def _constants(folder: Path) -> list[Check | NotRun]:
    table = json_table(folder, CONSTANTS)
    modules, buffers = _parts(table, "modules"), _parts(table, "buffers")
    own_buffers = {f"{name}_{part.megabytes}MB": part for name, part in BUFFERS.items()}
    memories = {
        f"{kind} {configuration}": energy
        for kind, configurations in _parts(table, "main_memory_access_energy_nJ").items()
        for configuration, energy in (configurations.items() if isinstance(configurations, dict) else ())
    }
    own_memories = {f"{part.kind} [{part.banks},{part.ranks},{part.channels}]": part.access_nj for part in MEMORIES}
    return [
        *(
            _shared(f"{theirs} of modules", CONSTANTS, _column(modules, theirs), _own(MODULES, ours))
            for theirs, ours in MODULE.items()
        ),
        *(
            _shared(f"{theirs} of buffers", CONSTANTS, _column(buffers, theirs), _own(own_buffers, ours))
            for theirs, ours in BUFFER.items()
        ),
        _shared("main memory, nJ an access", CONSTANTS, memories, own_memories),
        _knob_values(_parts(table, "design_space")),
    ]


def _synthesis(folder: Path) -> list[Check | NotRun]:
    table = csv_table(folder, SYNTHESIS, ("module",), texts=("module",))
    reports = {SYNTHESISED.get(row.pop("module"), ""): row for row in table.to_dict("records")}
    areas = {name: area for name, area in _own(MODULES, "area_um2").items() if area}  # mean pooling's is in pooling's
    return [
        _shared("synthesised area, um^2", SYNTHESIS, _column(reports, "total_cell_area_um2"), areas),
        _shared(
            "synthesised dynamic power, mW", SYNTHESIS, _powers(reports, "total_dynamic"), _own(MODULES, "dynamic_mw")
        ),
        _shared("synthesised leakage, mW", SYNTHESIS, _powers(reports, "leakage"), _own(MODULES, "leakage_mw")),
    ]


def _shared(quantity: str, table: str, theirs: Mapping[str, float], ours: Mapping[str, float]) -> Check | NotRun:
    """Numbers by name, of the names that both sides have."""
    names = [name for name in ours if isinstance(theirs.get(name), int | float) and isfinite(theirs[name])]
    if not names:
        return NotRun(quantity, table, f"none of {', '.join(ours)}")
    return check(quantity, table, [ours[name] for name in names], [theirs[name] for name in names], EXACT)


def _parts(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A named part of the constants, empty where it is absent."""
    part = table.get(name)
    return part if isinstance(part, dict) else {}


def _column(parts: Mapping[str, Any], name: str) -> dict[str, float]:
    return {part: values[name] for part, values in parts.items() if isinstance(values, dict) and name in values}


def _own(parts: Mapping[str, Any], field: str) -> dict[str, float]:
    return {name: getattr(part, field) for name, part in parts.items()}


def _knob_values(knobs: Mapping[str, Any]) -> Check | NotRun:
    """Every value that the table lists, beside the nearest one that the template has."""
    theirs = [(name, value) for name in KNOB_NAMES if isinstance(knobs.get(name), list) for value in knobs[name]]
    if not theirs:
        return NotRun("values of knobs", CONSTANTS, f"none of {', '.join(KNOB_NAMES)}")
    ours = [min(KNOBS[KNOB_NAMES[name]], key=lambda own: abs(own - value)) for name, value in theirs]
    return check("values of knobs", CONSTANTS, ours, [value for _, value in theirs], EXACT)


def _powers(reports: Mapping[str, dict[str, Any]], name: str) -> dict[str, float]:
    """A column of powers such as "4.39 mW", in milliwatts."""
    texts = {module: str(text).split() for module, text in _column(reports, name).items()}
    return {
        module: float(text[0]) * MILLIWATTS[text[1]]
        for module, text in texts.items()
        if len(text) == 2 and text[1] in MILLIWATTS
    }
