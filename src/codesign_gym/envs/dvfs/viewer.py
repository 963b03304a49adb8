"""A run as a picture: clocks, temperature, power, queue and exits over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.dvfs.state import TRACE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from codesign_gym.envs.dvfs.core import DvfsCore
    from codesign_gym.envs.dvfs.state import DvfsState

INCHES, DOTS_PER_INCH = (8.0, 7.5), 72


def figure(core: DvfsCore, state: DvfsState, number: int = 0) -> Figure:
    """Five panels over the time of an episode.

    Args:
        core: the environment, which must be ``traced``.
        state: its state; what has not happened yet stays empty.
        number: which environment of the batch.
    """
    from matplotlib.figure import Figure

    soc, workload, steps = core.tables.soc, core.tables.workload, int(state.step[number])
    time_s = (np.arange(steps) + 1) * core.interval_s
    told = state.trace[number, :steps]
    column = {name: told[:, i] for i, name in enumerate(TRACE)}
    clocks, levels = told[:, len(TRACE) : len(TRACE) + len(soc.steps)], told[:, len(TRACE) + len(soc.steps)]
    by_exit = told[:, len(TRACE) + len(soc.steps) + 1 :]

    made = Figure(figsize=INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    clock, heat, power, queue, exits = made.subplots(5, 1, sharex=True)
    for domain, name in enumerate(soc.names):
        hz = soc.domains[domain].clocks.clock_hz
        clock.step(time_s, hz[clocks[:, domain].astype(int)] / 1e6, label=name, where="pre")
    clock.set(ylabel="clock (MHz)", ylim=(0, None))
    heat.plot(time_s, column["temperature_c"], color="tab:red", label="junction")
    heat.axhline(soc.thermal.engage_c, color="grey", linestyle=":", label="throttles")
    heat.set(ylabel="temperature (C)")
    power.step(time_s, column["power_w"], color="tab:purple", label="board", where="pre")
    power.set(ylabel="power (W)", ylim=(0, core.full_power_j / core.interval_s))
    queue.step(time_s, column["waiting"], label="open requests", where="pre")
    missed = column["late"] + column["dropped"]
    queue.scatter(time_s[missed > 0], missed[missed > 0], s=12, color="tab:red", label="missed", zorder=3)
    queue.set(ylabel="requests", ylim=(0, core.capacity + 2))
    below = np.zeros(steps)
    for number_of_exit, name in enumerate(workload.names):
        top = below + by_exit[:, number_of_exit]
        exits.fill_between(time_s, below, top, step="pre", label=name, linewidth=0)
        below = top
    thresholds = exits.twinx()
    offered = np.minimum(workload.thresholds, 1.0)
    thresholds.step(time_s, offered[levels.astype(int)], color="black", linewidth=1.2, where="pre")
    thresholds.set(ylabel="threshold", ylim=(0, 1.1))
    exits.set(ylabel="answered by exit", xlabel="time (s)", xlim=(0, core.horizon * core.interval_s))
    for axes in (clock, heat, power, queue, exits):
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=7, ncols=5, frameon=False, borderaxespad=0.1)
    return made


def frames(core: DvfsCore, state: DvfsState, count: int) -> list[NDArray[np.uint8]]:
    """A finished run as images (height, width, 3), each of which shows a little more of it than the one before.

    The whole picture is drawn once; what has not happened yet is covered.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    made = figure(core, state)
    canvas = FigureCanvasAgg(made)
    canvas.draw()  # type: ignore[no-untyped-call]
    whole = np.asarray(canvas.buffer_rgba())[:, :, :3].copy()  # type: ignore[no-untyped-call]
    height = whole.shape[0]
    boxes = [axes.get_window_extent() for axes in made.axes]
    told = []
    for k in range(1, count + 1):
        image = whole.copy()
        for box in boxes:
            edge = round(box.x0 + (box.x1 - box.x0) * k / count)
            image[round(height - box.y1) + 1 : round(height - box.y0) - 1, edge : round(box.x1) - 1] = 255
        told.append(image)
    return told


def picture(core: DvfsCore, state: DvfsState) -> NDArray[np.uint8]:
    """The first environment's run so far as an RGB image, shape (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure(core, state))
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()  # type: ignore[no-untyped-call]
