"""Gymnasium environments in which an agent designs a neural network and the hardware that runs it.

Importing this package is cheap: it loads neither torch nor Stable-Baselines3. The rooms, from the
ground up: :mod:`~codesign_gym.configs` (data), :mod:`~codesign_gym.simulators` (what a design costs
and how well it does), :mod:`~codesign_gym.envs` (design problems and the environments that walk
them), :mod:`~codesign_gym.agents` (learners and search baselines) and
:mod:`~codesign_gym.training` (runs, studies and the command line).
"""

from importlib.metadata import PackageNotFoundError, version

from codesign_gym.envs.registration import register_all

try:
    __version__ = version("codesign-gym")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

register_all()

__all__ = ["__version__"]
