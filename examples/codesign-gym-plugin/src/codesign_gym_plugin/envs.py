"""Registers the environment; importing this module is all it takes, and loads nothing else."""

from gymnasium.envs.registration import register

register(
    "plugin/SparseNet-v0",
    entry_point="codesign_gym_plugin.sparse_net:SparseNetEnv",
    vector_entry_point="codesign_gym_plugin.sparse_net:SparseNetVectorEnv",
)
