"""A network as a table of layers, the zoo of published shapes, and importers."""

from codesign_gym.simulators.networks.catalog import CATALOG, NetworkFile, Training, load, parse_input_shape, read
from codesign_gym.simulators.networks.layers import Layers, Network, Op
from codesign_gym.simulators.networks.onnx_import import from_onnx
from codesign_gym.simulators.networks.topology_csv import from_csv, to_csv
from codesign_gym.simulators.networks.torch_import import from_torch, module_path

__all__ = [
    "CATALOG",
    "Layers",
    "Network",
    "NetworkFile",
    "Op",
    "Training",
    "from_csv",
    "from_onnx",
    "from_torch",
    "load",
    "module_path",
    "parse_input_shape",
    "read",
    "to_csv",
]
