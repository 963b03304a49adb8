"""Train, evaluate, compare and study; runs on disk; the command line."""
