"""What a design costs and how well it does; knows nothing of reinforcement learning."""
