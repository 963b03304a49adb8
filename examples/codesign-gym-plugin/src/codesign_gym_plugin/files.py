"""The YAML files of this package, for its entry points."""

from importlib.resources import files
from pathlib import Path

HERE = Path(str(files("codesign_gym_plugin")))

POCKET_ARRAY = HERE / "pocket-array.yaml"
GRATINGS_CNN = HERE / "gratings-cnn.yaml"
