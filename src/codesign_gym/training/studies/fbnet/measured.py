"""The same on measured operators, where the table of HW-NAS-Bench is at hand."""

from __future__ import annotations

from pathlib import Path

from codesign_gym.errors import CodesignError
from codesign_gym.training.verify import references_folder

#: Name of HW-NAS-Bench's table of FBNet's operators in a folder of references (Li et al., ICLR 2021).
FILE = "fbnet/hwnasbench_fbnet_op_lut_5devices.csv"
ABSENT = f"no {FILE} in the folder of reference tables"


def operators_file() -> str | None:
    """Where the table is, or None where it is not."""
    try:
        path = references_folder(None) / Path(FILE)
    except CodesignError:
        return None
    return str(path) if path.is_file() else None
