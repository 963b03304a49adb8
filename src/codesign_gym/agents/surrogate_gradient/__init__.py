"""Search by the gradient of a learned surrogate with respect to its input."""
