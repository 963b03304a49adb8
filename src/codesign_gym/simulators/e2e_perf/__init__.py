"""E2E-Perf: end-to-end performance of DARTS cells on FPGA accelerators of two kinds."""
