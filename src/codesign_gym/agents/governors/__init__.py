"""Controllers that do not learn: fixed clocks, the governors of the Linux kernel, and the best fixed setting."""
