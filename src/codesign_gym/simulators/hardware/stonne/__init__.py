"""The accelerators that STONNE simulates cycle by cycle: a mesh, MAERI, SIGMA and MAGMA, over networks they share."""
