"""Networks with exits by id or file: trained and recorded on the first call, read from the cache afterwards.

All exits are trained together on the sum of their cross-entropies, as BranchyNet does (Teerapittayanon et al.,
ICPR 2016).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.catalog import Catalog, attribute
from codesign_gym.errors import BadConfig, StorageError
from codesign_gym.records import read_record
from codesign_gym.simulators.dvfs.work import Work
from codesign_gym.simulators.exits.record import ExitRecord, ExitRecords
from codesign_gym.simulators.networks.catalog import NetworkFile
from codesign_gym.simulators.networks.layers import Network
from codesign_gym.storage import cache_dir, replacing

if TYPE_CHECKING:
    from torch import Tensor, nn

    from codesign_gym.simulators.accuracy.splits import Split, Splits

CATALOG = Catalog(kind="network with exits", folder="exits")

#: Raised whenever the same file would give another record.
RECORD_VERSION = "1"

SPLITS = ("search", "test")
Answers = dict[str, NDArray[Any]]  # confidence and correct of both splits, by "split.column"


def load(name: str, pixels: int | None = None) -> ExitRecords:
    """The records of an id, the path of a YAML file, or ``"package.module:attribute"``.

    A file is a :class:`NetworkFile` whose module is a network with exits; the attribute is an :class:`ExitRecords`
    or a function without arguments that returns one.

    Args:
        name: which network.
        pixels: height and width at which its work is counted; by default those of its images. The same layers, and
            the same weights, run at any size; accuracy is always that of the images themselves.

    Raises:
        UnknownName: with the nearest id.
        BadConfig: naming what is wrong with the file, the module or the record.
        UnsupportedNetwork: if its layers cannot be modelled.
        StorageError: if data are absent, or the cache cannot be read or written.
    """
    found = CATALOG.locate(name)
    if isinstance(found, Path):
        return _recorded(name, read_record(NetworkFile, found), pixels)
    records = found() if callable(found) else found
    if not isinstance(records, ExitRecords):
        raise BadConfig(f"network with exits {name!r} is a {type(records).__name__}; accepted: ExitRecords")
    if pixels is not None:
        raise BadConfig(f"network with exits {name!r} has a record of its own; accepted: no pixels beside it")
    return records


def _recorded(name: str, content: NetworkFile, pixels: int | None) -> ExitRecords:
    from codesign_gym.simulators.accuracy.splits import Splits
    from codesign_gym.simulators.accuracy.trained import layer_table

    if content.module is None or content.data is None or content.training is None:
        raise BadConfig(f"network with exits {name!r}: accepted: the fields 'module', 'data' and 'training'")
    splits = Splits.of(attribute(content.data)(), f"data {content.data!r}")
    module = _built(name, content)
    channels, height, width = splits.input_shape
    answers = _answers(name, content, module, splits)
    table = layer_table(module, (channels, pixels or height, pixels or width), name)
    exits = len(module.heads)  # type: ignore[arg-type]
    stages, heads = (_work(name, table, part, exits) for part in ("stages", "heads"))
    names = (*(f"exit{i + 1}" for i in range(exits - 1)), "full")
    return ExitRecords(
        *(
            ExitRecord(name, split, names, answers[f"{split}.confidence"], answers[f"{split}.correct"], stages, heads)
            for split in SPLITS
        )
    )


def _built(name: str, content: NetworkFile) -> nn.Module:
    """The untrained module; its initial weights depend on the file's seed alone."""
    import torch
    from torch import nn

    assert content.module is not None
    assert content.training is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(content.training.seed)
        try:
            module = attribute(content.module)(**content.arguments)
        except TypeError as error:
            raise BadConfig(f"network with exits {name!r}: field 'arguments': {error}") from error
    parts = [getattr(module, part, None) for part in ("stages", "heads")]
    if not isinstance(module, nn.Module) or not all(isinstance(part, nn.ModuleList) for part in parts):
        raise BadConfig(
            f"network with exits {name!r}: field 'module' builds a {type(module).__name__}; accepted: a torch module "
            "with the lists 'stages' and 'heads'"
        )
    if len(parts[0]) != len(parts[1]):  # type: ignore[arg-type]
        raise BadConfig(f"network with exits {name!r} has {len(parts[0])} stages and {len(parts[1])} heads")  # type: ignore[arg-type]
    return module.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload,no-any-return]


def _answers(name: str, content: NetworkFile, module: nn.Module, splits: Splits) -> Answers:
    """Confidence and correctness on both held-out splits, from the cache or from a training."""
    import torch
    from safetensors import SafetensorError
    from safetensors.numpy import load_file, save_file

    from codesign_gym.simulators.accuracy.splits import fingerprint
    from codesign_gym.simulators.accuracy.trained import architecture

    assert content.training is not None
    recipe = content.training.model_dump_json()
    mark = fingerprint(RECORD_VERSION, torch.__version__, recipe, architecture(module), splits.fingerprint)
    path = cache_dir("exits") / f"{Path(name).stem}-{mark}.safetensors"
    if not path.exists():
        answers = _measured(name, content, module, splits)
        with replacing(path) as aside:
            save_file(answers, aside)
        return answers
    try:
        stored: Answers = load_file(path)
        return {
            f"{split}.{column}": stored[f"{split}.{column}"] for split in SPLITS for column in ("confidence", "correct")
        }
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise StorageError(f"{path} does not hold a record of exits; delete it to train again ({error})") from error


def _measured(name: str, content: NetworkFile, module: nn.Module, splits: Splits) -> Answers:
    """Train all exits together, then ask them about the held-out images."""
    from torch.nn.functional import cross_entropy

    from codesign_gym.simulators.accuracy.recipe import fit

    def joint(logits: Tensor, labels: Tensor) -> Tensor:
        exits = logits.shape[1]
        return exits * cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(exits))

    assert content.training is not None
    fit(module, splits.train, content.training, name, joint)
    return {
        f"{split}.{column}": values for split in SPLITS for column, values in _asked(module, splits.role(split)).items()
    }


def _asked(module: nn.Module, split: Split) -> Answers:
    """Confidence (float32) and correctness (bool) of every exit, each of shape (samples, exits)."""
    from codesign_gym.simulators.accuracy.recipe import logits, one_thread, tensors

    images, labels = tensors(split)
    with one_thread():
        confidence, chosen = logits(module, images).softmax(-1).max(-1)
    return {
        "confidence": np.minimum(confidence.numpy(), np.float32(1)),
        "correct": np.asarray((chosen == labels[:, None]).numpy()),
    }


def _work(name: str, table: Network, part: str, exits: int) -> Work:
    """Work of each member of a module list, shape (exits,), from the rows that are named after it."""
    owners = np.array([".".join(row.split(".")[:2]) for row in table.layer_names])
    strays = [row for row in table.layer_names if not row.startswith(("stages.", "heads."))]
    if strays:
        raise BadConfig(f"network with exits {name!r}: {strays[0]} is in neither 'stages' nor 'heads'")
    return Work.stack([Work.of(table.rows(owners == f"{part}.{i}").layers) for i in range(exits)])
