"""A running device: requests arrive, the chip warms up, deadlines pass, and an agent sets clocks while it runs."""
