"""Training a network for real: mini-batches of the training split, one seed, one thread, the same result each time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.accuracy.splits import Split
from codesign_gym.simulators.networks.catalog import Training

T = TypeVar("T")

#: Seconds of work after which a progress bar appears.
PATIENCE_S = 2.0

#: Images evaluated at once: the activations of the shipped networks then stay in a core's cache.
BATCH = 125

OPTIMIZERS: dict[str, Callable[[list[nn.Parameter], Training], torch.optim.Optimizer]] = {
    "sgd": lambda parameters, training: torch.optim.SGD(
        parameters, training.learning_rate, training.momentum, weight_decay=training.weight_decay, nesterov=True
    ),
    "adam": lambda parameters, training: torch.optim.Adam(
        parameters, training.learning_rate, weight_decay=training.weight_decay
    ),
    "adamw": lambda parameters, training: torch.optim.AdamW(
        parameters, training.learning_rate, weight_decay=training.weight_decay
    ),
}

#: Share of the steps in which the learning rate rises to its peak, before its cosine descent to zero.
WARM_UP = 0.15


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread inside the block: sums then have one order, and neighbours keep their cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit(
    module: nn.Module,
    data: Split,
    training: Training,
    name: str,
    criterion: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
) -> None:
    """Train ``module`` in place and leave it in evaluation mode.

    The learning rate rises over the first steps and falls along a cosine to zero (Smith and Topin
    2017). Equal arguments on one machine give equal weights.

    Args:
        module: takes images (batch, channels, height, width), returns logits (batch, classes) or what else
            ``criterion`` takes.
        data: the training split.
        training: the recipe; its seed orders the images.
        name: the network's name, for the progress bar and errors.
        criterion: the loss of what ``module`` returns and labels (batch,).

    Raises:
        BadConfig: if the loss stops being a finite number.
    """
    images, labels = tensors(data)
    size = min(training.batch_size, len(data))
    steps = training.epochs * (len(data) // size)
    generator = np.random.default_rng(training.seed)
    with one_thread():
        optimizer = OPTIMIZERS[training.optimizer]([p for p in module.parameters() if p.requires_grad], training)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate((step + 1) / (steps + 1)))
        module.train()
        for chosen in shown(batches(len(data), size, steps, generator), steps, f"training {name}"):
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(module(images[chosen]), labels[chosen])
            if not torch.isfinite(loss):
                raise BadConfig(
                    f"network {name!r}: training diverged (loss {loss.item()}); lower training.learning_rate, "
                    f"which is {training.learning_rate}"
                )
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        module.eval()


def batches(count: int, size: int, steps: int, generator: np.random.Generator) -> Iterator[Tensor]:
    """Index tensors (size,) of ``steps`` mini-batches; each pass is a new order, its incomplete last batch left out."""
    per_pass = count // size
    for step in range(steps):
        if step % per_pass == 0:
            order = torch.from_numpy(generator.permutation(count))
        start = step % per_pass * size
        yield order[start : start + size]


def logits(module: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Logits (n, classes) of images (n, channels, height, width), in batches, without gradients."""
    with torch.inference_mode():
        return torch.cat([module(piece) for piece in torch.split(images, BATCH)])


def tensors(split: Split) -> tuple[Tensor, Tensor]:
    """Images and labels as tensors that share the split's memory where its layout allows."""
    images = torch.from_numpy(split.images).contiguous(memory_format=torch.channels_last)
    return images, torch.from_numpy(split.labels)


def shown(work: Iterable[T], total: int, title: str) -> Iterator[T]:
    """The same items, with a progress bar on the terminal once they have taken :data:`PATIENCE_S`."""
    console, start = Console(stderr=True), time.monotonic()
    with ExitStack() as stack:
        bar: Progress | None = None
        for done, item in enumerate(work):
            yield item
            if bar is None and console.is_terminal and time.monotonic() - start > PATIENCE_S:
                bar = stack.enter_context(Progress(console=console, transient=True))
                bar.add_task(title, total=total)
            if bar is not None:
                bar.update(bar.task_ids[0], completed=done + 1)


def _rate(progress: float) -> float:
    """Share of the peak learning rate at a progress in (0, 1)."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + float(np.cos(np.pi * (progress - WARM_UP) / (1 - WARM_UP))))
