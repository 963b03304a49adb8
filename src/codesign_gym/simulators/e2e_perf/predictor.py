"""EH-DNAS's predictor: an embedding of every operator, and a perceptron over all of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Embedded(nn.Module):
    """An embedding of 10 numbers a knob, then 200 and 100 units, then one answer (Jiang et al., arXiv:2111.12299).

    A mixture of operators has the mixture of their embeddings.

    Args:
        knobs: number of choices to embed.
        choices: values of each.
        dropout: share of the units that are left out in training (the paper's .5 suits its million networks).
    """

    def __init__(self, knobs: int, choices: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(knobs, choices, 10))
        self.layers = nn.Sequential(
            nn.Linear(10 * knobs, 200),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(200, 100),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(100, 1),
        )

    def forward(self, probabilities: Tensor) -> Tensor:
        """Shape (batch, 1) of probabilities (batch, knobs, choices)."""
        embedded = torch.einsum("bkc,kce->bke", probabilities, self.embedding)
        answer: Tensor = self.layers(embedded.flatten(1))
        return answer
