"""A trained network's layers replaced one by one by cheaper operators (LANA, Molchanov et al., ECCV 2022)."""
