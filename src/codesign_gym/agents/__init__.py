"""Learners and search baselines behind one interface."""
