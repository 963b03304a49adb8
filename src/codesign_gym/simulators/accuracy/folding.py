"""Batch normalisation folded into the convolution before it, as every integer accelerator runs it."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

FOLDABLE = {nn.Conv1d: nn.BatchNorm1d, nn.Conv2d: nn.BatchNorm2d, nn.Conv3d: nn.BatchNorm3d}


def folded(module: nn.Module, example: Tensor) -> nn.Module:
    """A copy of ``module`` that computes the same with fewer layers, under the same submodule names.

    Per-channel weight quantization is unchanged by it, because folding multiplies each output
    channel by one number. A module that torch.fx cannot trace is copied unfolded.

    Args:
        module: in evaluation mode.
        example: images of shape (n, channels, height, width) to check the copy on.
    """
    plain = deepcopy(module)
    try:
        graph = fx.symbolic_trace(deepcopy(module))
    except Exception:  # the module's own code meets fx's stand-ins: anything may be raised
        return plain
    _fold(graph)
    with torch.inference_mode():
        # A traced branch may have been taken for good; what computes something else is not used.
        same = torch.allclose(graph(example), plain(example), rtol=1e-3, atol=1e-4)
    return graph if same else plain


def _fold(graph: fx.GraphModule) -> None:
    """Fold in place wherever a normalisation is the only reader of a convolution."""
    modules = dict(graph.named_modules())
    for node in list(graph.graph.nodes):
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        conv, norm = modules[str(before.target)], modules[str(node.target)]
        calls = sum(other.op == "call_module" and other.target == before.target for other in graph.graph.nodes)
        foldable = isinstance(norm, FOLDABLE.get(type(conv), ())) and isinstance(norm, nn.modules.batchnorm._BatchNorm)
        if not foldable or norm.running_var is None or calls > 1:
            continue
        graph.set_submodule(str(before.target), fuse_conv_bn_eval(conv, norm))
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
