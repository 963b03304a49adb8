"""What may be claimed of a design: its accuracy on test images, beside that of the highest bitwidth."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.accuracy.bootstrap import paired_difference
from codesign_gym.simulators.accuracy.quantized import QuantizedNetwork


@dataclass(frozen=True, eq=False)
class TestAccuracy:
    """Measures designs on the test split, which neither rewards nor selection ever see.

    Attributes:
        quantized: the network.
        reference_bits: the bitwidth everywhere that designs are compared with.
    """

    __test__ = False  # not a test case, in spite of its name

    quantized: QuantizedNetwork
    reference_bits: int

    def claim(self, bits: NDArray[np.int64], seed: int = 0) -> dict[str, float]:
        """Test accuracy, and its change against the reference with a paired 95 % bootstrap interval.

        Args:
            bits: shape (layers, 2).
            seed: of the bootstrap.
        """
        reference = np.full_like(bits, self.reference_bits)
        design, base = self.quantized.correct(np.stack([bits, reference]), "test")
        seen, seen_base = self.quantized.correct(np.stack([bits, reference]), "search")
        return figures(design, base, seen, seen_base, seed)


def figures(
    test: NDArray[np.bool_],
    test_reference: NDArray[np.bool_],
    search: NDArray[np.bool_],
    search_reference: NDArray[np.bool_],
    seed: int = 0,
) -> dict[str, float]:
    """A design's accuracies beside a reference's, and the change on test images with a paired 95 % bootstrap interval.

    Args:
        test: which test images it gets right, shape (images,).
        test_reference: the reference's, of the same images.
        search: which images of the split that it was chosen by, shape (images,).
        search_reference: the reference's.
        seed: of the bootstrap.
    """
    change = search.astype(float) - search_reference
    interval = asdict(paired_difference(test, test_reference, np.random.default_rng(seed)))
    return {
        "test_accuracy": float(test.mean()),
        "test_accuracy_reference": float(test_reference.mean()),
        "test_change_points": interval["difference"],
        "test_change_low_points": interval["low"],
        "test_change_high_points": interval["high"],
        "test_images": float(len(test)),
        "search_accuracy": float(search.mean()),
        "search_change_points": float(100 * change.mean()),
        "search_change_error_points": float(100 * change.std(ddof=1) / np.sqrt(len(change))),
    }
