"""Measure layers on this computer's CPU, one thread, and write them as ``codesign-gym calibrate`` reads them.

    python examples/calibrate-this-cpu.py mine.csv
    codesign-gym calibrate --device pixel-3-cpu --measurements mine.csv --out this-cpu.yaml
    codesign-gym cost resnet18 --device this-cpu.yaml --bits 32

The fit may start from any processor's roofline.
Close what else is busy first; the medians take half a minute.
"""

from __future__ import annotations

import csv
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

Row = dict[str, str | int | float]

LEAST_RUNS, SECONDS = 7, 0.15  # for each layer


def layers() -> Iterator[tuple[nn.Module, torch.Tensor, Row]]:
    """Module, input and shape of dense, grouped, pointwise and depthwise convolutions, and of linear layers."""
    convolutions = [
        (size, channels, outputs, kernel, stride, groups)
        for size, channels in ((112, 16), (56, 32), (56, 64), (28, 96), (28, 128), (14, 192), (14, 256), (7, 512))
        for kernel, stride in ((1, 1), (3, 1), (3, 2), (5, 1))
        for outputs, groups in ((channels, 1), (2 * channels, 1), (channels, channels))
        if kernel > 1 or groups == 1
    ]
    for size, channels, outputs, kernel, stride, groups in convolutions:
        module = nn.Conv2d(channels, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        after = -(-size // stride)
        kernels = {"kernel_height": kernel, "kernel_width": kernel, "stride": stride, "groups": groups}
        sizes = {"in_height": size, "in_width": size, "out_height": after, "out_width": after}
        shape: Row = {"op": "conv", "in_channels": channels, "out_channels": outputs, **kernels, **sizes}
        yield module, torch.randn(1, channels, size, size), shape
    for inputs in (64, 256, 1024, 4096):
        for outputs in (10, 256, 1000, 4096):
            ones = dict.fromkeys(("kernel_height", "kernel_width", "stride", "groups"), 1)
            sizes = dict.fromkeys(("in_height", "in_width", "out_height", "out_width"), 1)
            shape = {"op": "linear", "in_channels": inputs, "out_channels": outputs, **ones, **sizes}
            yield nn.Linear(inputs, outputs, bias=False), torch.randn(1, inputs), shape


def median_ms(module: nn.Module, images: torch.Tensor) -> float:
    """Median time of a call, after two that are not counted."""
    times: list[float] = []
    while len(times) < LEAST_RUNS + 2 or sum(times) < SECONDS:
        start = time.perf_counter()
        module(images)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[2:])


def main() -> None:
    """Write the file that the command line names."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.inference_mode():
        rows = [{**shape, "latency_ms": median_ms(module, images)} for module, images, shape in layers()]
    with Path(sys.argv[1] if len(sys.argv) > 1 else "mine.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} layers measured")


if __name__ == "__main__":
    main()
