"""Search by gradients of a mixture's loss: a distribution over each knob's choices is trained."""
