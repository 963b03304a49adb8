"""Networks with real weights: trained once and cached, or the user's own, beside the images they are measured on."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from codesign_gym.catalog import attribute
from codesign_gym.errors import BadConfig, CodesignError, StorageError
from codesign_gym.records import read_record
from codesign_gym.simulators import networks
from codesign_gym.simulators.accuracy.datasets import image_folder
from codesign_gym.simulators.accuracy.recipe import fit, logits, one_thread, tensors
from codesign_gym.simulators.accuracy.splits import Split, Splits, fingerprint
from codesign_gym.simulators.networks.catalog import CATALOG, NetworkFile, Training
from codesign_gym.simulators.networks.layers import COLUMNS, Network, network
from codesign_gym.simulators.networks.torch_import import from_torch
from codesign_gym.storage import cache_dir, replacing, write_text

#: Raised whenever the same recipe would give other weights.
TRAINING_VERSION = "1"


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A torch network with weights, its layer table, and its data.

    Attributes:
        name: the id, file or reference it was loaded by.
        module: in evaluation mode; takes images (batch, channels, height, width), returns logits
            (batch, classes). Not to be changed.
        network: its layer table, for one image.
        splits: the data it was trained on and is measured on.
        fingerprint: digest of weights, architecture and data; what evaluations are memoised under.
        test_accuracy: share of the test split that it gets right in floating point.
    """

    name: str
    module: nn.Module
    network: Network
    splits: Splits
    fingerprint: str
    test_accuracy: float


def load(name: str, data: str | Splits | None = None) -> TrainedNetwork:
    """The trained network of an id, a YAML path, or ``"package.module:build"``.

    A file with a ``training`` section is trained on the first call, which takes minutes for the
    harder networks, and read from the cache afterwards. A module without a recipe is used with the
    weights it comes with.

    Args:
        name: which network; a reference names a torch module or a function without arguments that
            builds one.
        data: the images, or ``"package.module:loaders"``, a function without arguments that
            returns what :meth:`Splits.of` accepts, or a folder of pictures with a folder a class, read at
            the network's ``input_shape`` (else 3x224) or as ``"folder@1x28"`` says; by default what the
            network's file names.

    Raises:
        UnknownName: with the nearest id.
        BadConfig: naming what is wrong with the file, the reference, the data, or the network's
            weights or outputs.
        UnsupportedNetwork: if its layers cannot be modelled.
        StorageError: if data are absent, or the cache cannot be read or written.
    """
    found = CATALOG.locate(name)
    content = read_record(NetworkFile, found) if isinstance(found, Path) else None
    if content is not None:
        if content.module is None:
            raise BadConfig(
                f"network {name!r} is a table of shapes, without weights to measure the accuracy of; "
                "accepted: a network file with the field 'module', or 'package.module:build'"
            )
        found = attribute(content.module)
    shape = (content.input_shape if content else None) or getattr(found, "input_shape", None)
    splits = _splits(name, data if data is not None or content is None else content.data, shape)
    if content is not None and content.input_shape not in (None, splits.input_shape):
        raise BadConfig(f"network {name!r}: input_shape is {content.input_shape}; its images are {splits.input_shape}")
    training = content.training if content else None
    module = _build(found, content.arguments if content else {}, training.seed if training else 0, name)
    if training is None:
        module.eval()
        accuracy = _test_accuracy(module, splits, name)
    else:
        accuracy = train_or_read(module, splits, training, name)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    table = layer_table(module, splits.input_shape, name)
    mark = fingerprint(architecture(module), weights_digest(module), splits.fingerprint)
    return TrainedNetwork(name, module, table, splits, mark, accuracy)


def _splits(name: str, data: str | Splits | None, shape: Sequence[int] | None) -> Splits:
    """The data of a reference, checked; pictures are read at the network's shape where nothing else is said."""
    if data is None:
        raise BadConfig(f"network {name!r} names no data; accepted: 'package.module:loaders' or a folder of pictures")
    if isinstance(data, Splits):
        return data
    if (folder := _folder(data, shape)) is not None:
        path, channels, size = folder
        return image_folder(path, size, channels)
    found = attribute(data)
    return Splits.of(_called(found, {}, f"data {data!r}") if callable(found) else found, f"data {data!r}")


def _folder(data: str, shape: Sequence[int] | None) -> tuple[Path, int, int] | None:
    """Path, channels and size of ``"pictures"`` or ``"pictures@1x28"``; None if it names no folder."""
    channels, size = (int(shape[0]), int(shape[-1])) if shape and len(shape) == 3 else (3, 224)
    match = re.fullmatch(r"(.+?)(?:@(\d+)x(\d+))?", data)
    if match is None or not Path(match.group(1)).expanduser().is_dir():
        return None
    return Path(match.group(1)).expanduser(), int(match.group(2) or channels), int(match.group(3) or size)


def _build(found: Any, arguments: dict[str, Any], seed: int, name: str) -> nn.Module:
    """The module that a reference builds; its initial weights depend on the seed alone."""
    if not isinstance(found, nn.Module):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            found = _called(found, arguments, f"network {name!r}")
    if not isinstance(found, nn.Module):
        raise BadConfig(f"network {name!r} is a {type(found).__name__}; accepted: a torch module or a function for one")
    return found.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _called(function: Callable[..., Any], arguments: dict[str, Any], where: str) -> Any:
    if not callable(function):
        raise BadConfig(f"{where} is a {type(function).__name__}; accepted: a function")
    try:
        return function(**arguments)
    except CodesignError:
        raise
    except Exception as error:  # the user's own function: its message is the best there is
        raise BadConfig(f"{where}: {_call(arguments)} failed: {type(error).__name__}: {error}") from error


def _call(arguments: dict[str, Any]) -> str:
    return f"calling it with {arguments}" if arguments else "calling it"


def train_or_read(module: nn.Module, splits: Splits, training: Training, name: str) -> float:
    """Give ``module`` its trained weights, from the cache if they are there; returns the test accuracy.

    Raises:
        BadConfig: if training diverges, or the module does not fit the data.
        StorageError: if the cache cannot be read or written.
    """
    mark = fingerprint(
        TRAINING_VERSION,
        torch.__version__,
        training.model_dump_json(),
        architecture(module),
        weights_digest(module),
        splits.fingerprint,
    )
    path = cache_dir("networks") / f"{Path(name).stem}-{mark}.safetensors"
    if path.exists():
        module.eval()
        return _read(module, path)
    fit(module, splits.train, training, name)
    accuracy = _test_accuracy(module, splits, name)
    about = {"recipe": training.model_dump_json(), "test_accuracy": json.dumps(accuracy)}
    with replacing(path) as aside:
        save_file({key: value.contiguous() for key, value in module.state_dict().items()}, aside, about)
    return accuracy


def _read(module: nn.Module, path: Path) -> float:
    """Load cached weights into ``module``; returns their test accuracy."""
    try:
        module.load_state_dict(load_file(path))
        with safe_open(path, framework="pt") as opened:
            return float(json.loads(opened.metadata()["test_accuracy"]))
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StorageError(
            f"{path} does not hold the network's weights; delete it to train again ({reason})"
        ) from error


def _test_accuracy(module: nn.Module, splits: Splits, name: str) -> float:
    """Share of the test split that is right; checks weights and outputs on the way."""
    for key, value in module.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise BadConfig(f"network {name!r}: {key} holds values that are not finite numbers")
    _check_logits(module, splits.calibration, splits.classes, name)
    images, labels = tensors(splits.test)
    with one_thread():
        return float((logits(module, images).argmax(1) == labels).double().mean())


def _check_logits(module: nn.Module, split: Split, classes: int, name: str) -> None:
    images, _ = tensors(split)
    try:
        answers = logits(module, images[:2])
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadConfig(f"network {name!r} fails on images of shape {tuple(images.shape[1:])}: {reason}") from error
    if answers.ndim != 2 or answers.shape[1] < classes:
        raise BadConfig(
            f"network {name!r} answers {tuple(answers.shape[1:])} numbers an image; its data have {classes} classes"
        )
    if not torch.isfinite(answers).all():
        raise BadConfig(f"network {name!r} answers with logits that are not finite numbers")


def layer_table(module: nn.Module, input_shape: tuple[int, ...], name: str) -> Network:
    """The layer table, from the cache if the architecture and the importer are the ones it was traced with."""
    importer = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(networks.__path__[0]).glob("*.py")))
    mark = fingerprint(importer, torch.__version__, architecture(module), str(input_shape))
    path = cache_dir("networks") / f"{Path(name).stem}-{mark}.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return network(name, stored["rows"], stored["layer_names"])
    except FileNotFoundError:
        traced = from_torch(module, input_shape, name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} is not a layer table; delete it to trace the network again ({error})") from error
    columns = {column: np.asarray(getattr(traced.layers, column)).tolist() for column in COLUMNS}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    write_text(path, json.dumps({"layer_names": traced.layer_names, "rows": rows}))
    return traced


def architecture(module: nn.Module) -> str:
    """What the module computes, weights aside: its printed form, shapes, and the source of its own classes."""
    classes = {type(part) for part in module.modules() if not type(part).__module__.startswith("torch.")}
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    sources = sorted(f"{kind.__qualname__}\n{_source(kind)}" for kind in classes)
    return f"{module}\n{shapes}\n" + "\n".join(sources)


def _source(kind: type) -> str:
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):  # defined where there is no file, as in an interactive session
        return ""


def weights_digest(module: nn.Module) -> str:
    """Digest of parameters and buffers."""
    state = module.state_dict()
    return fingerprint(*(part for key, value in sorted(state.items()) for part in (key, value.numpy(force=True))))
