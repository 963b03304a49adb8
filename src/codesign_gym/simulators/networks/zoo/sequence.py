"""Networks over sequences: BERT, a vision transformer, an LSTM."""

from __future__ import annotations

from dataclasses import replace

from codesign_gym.simulators.networks.builder import Builder
from codesign_gym.simulators.networks.layers import Network


def bert_base(sequence: int = 128) -> Network:
    """BERT-base, uncased, with its pooler and without a head (arXiv:1810.04805): 12 layers of 768, 12 heads."""
    net = Builder(768, sequence, 1).embedding("embeddings.word_embeddings", 30522)
    net = net.embedding("embeddings.token_type_embeddings", 2).elementwise("embeddings.add")
    net = net.embedding("embeddings.position_embeddings", 512).elementwise("embeddings.add#2")
    net = net.norm("embeddings.LayerNorm")
    for index in range(12):
        net = _bert_layer(net, f"encoder.layer.{index}", heads=12, hidden=3072)
    pooled = replace(net, height=1).linear("pooler.dense", 768).activation("pooler.activation")
    return pooled.build("bert-base")


def vit_small(classes: int = 1000, resolution: int = 224) -> Network:
    """ViT-S/16 (arXiv:2010.11929 at the width of arXiv:2012.12877): 12 layers of 384, 6 heads, a class token."""
    net = Builder(3, resolution, resolution).conv("patch_embed.proj", 384, 16, stride=16, padding=0, bias=True)
    tokens = net.height * net.width + 1
    net = replace(net, height=tokens, width=1).elementwise("cat", trained=384)
    net = net.elementwise("add", trained=384 * tokens)
    for index in range(12):
        net = _vit_block(net, f"blocks.{index}", heads=6, hidden=1536)
    return replace(net.norm("norm"), height=1).linear("head", classes).build("vit-small")


def lstm_medium(steps: int = 35, words: int = 10_000) -> Network:
    """The medium regularized LSTM for Penn Treebank (arXiv:1409.2329): 2 layers of 650, unrolled for 35 steps."""
    net = Builder(650, steps, 1).embedding("embedding", words)
    for layer in range(2):
        net = net.lstm("lstm", layer, 650)
    return net.linear("decoder", words).build("lstm-medium")


def _bert_layer(entry: Builder, name: str, heads: int, hidden: int) -> Builder:
    """Attention, then two linear layers, each added to its input before it is normalised."""
    net, width = entry, entry.channels
    for operand in ("query", "key", "value"):
        net = net.linear(f"{name}.attention.self.{operand}", width)
    net = net.attention(f"{name}.attention.self", heads).linear(f"{name}.attention.output.dense", width)
    net = net.elementwise(f"{name}.attention.output.add").norm(f"{name}.attention.output.LayerNorm")
    net = net.linear(f"{name}.intermediate.dense", hidden).activation(f"{name}.intermediate.intermediate_act_fn")
    return net.linear(f"{name}.output.dense", width).elementwise(f"{name}.output.add").norm(f"{name}.output.LayerNorm")


def _vit_block(entry: Builder, name: str, heads: int, hidden: int) -> Builder:
    """Attention, then two linear layers, each normalised before and added to its input."""
    width = entry.channels
    net = entry.norm(f"{name}.norm1").linear(f"{name}.attn.qkv", 3 * width)
    net = (
        net.beside(entry).attention(f"{name}.attn", heads).linear(f"{name}.attn.proj", width).elementwise(f"{name}.add")
    )
    net = net.norm(f"{name}.norm2").linear(f"{name}.mlp.fc1", hidden).activation(f"{name}.mlp.act")
    return net.linear(f"{name}.mlp.fc2", width).elementwise(f"{name}.add#2")
