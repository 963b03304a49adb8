"""Data only: devices, networks, agents and experiments as YAML files."""
