"""A picture of a design without a plotting library: one bar per knob."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.space import DesignSpace

HEIGHT, BAR, GAP = 96, 6, 2  # pixels
COLOURS = np.array([[31, 119, 180], [255, 127, 14], [44, 160, 44], [148, 103, 189]], dtype=np.uint8)


def bars(space: DesignSpace, design: NDArray[np.int64], decided: int, slots: int) -> NDArray[np.uint8]:
    """Bars as high as the chosen value's index; undecided knobs are grey stubs, slots of a group differ in colour.

    Args:
        space: the knobs.
        design: choice indices, shape (knobs,).
        decided: how many knobs, from the first, have been chosen.
        slots: knobs per group.

    Returns:
        Shape (96, 8 * knobs + 2, 3), RGB.
    """
    image = np.full((HEIGHT, GAP + len(space) * (BAR + GAP), 3), 255, dtype=np.uint8)
    for knob, choice in enumerate(design):
        left = GAP + knob * (BAR + GAP)
        if knob >= decided:
            image[-3:, left : left + BAR] = 200
            continue
        top = HEIGHT - round((int(choice) + 1) / space.choices * (HEIGHT - GAP))
        image[top:, left : left + BAR] = COLOURS[knob % slots % len(COLOURS)]
    return image
