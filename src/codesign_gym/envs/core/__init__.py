"""The batched core of every environment, and its three views."""
