"""CODEBench (Tuli et al., ACM TECS 2023): networks and accelerators designed together."""
