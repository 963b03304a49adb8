"""Gaussian processes of BoTorch that guide searches."""
