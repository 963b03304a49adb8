import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.networks import Network, Op, from_torch, module_path, zoo
from codesign_gym.simulators.networks.builder import Builder
from codesign_gym.simulators.networks.layers import COLUMNS
from codesign_gym.simulators.networks.torch_operators import FREE, ROWS


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def assert_same_table(net: Network, expected: Network) -> None:
    assert net.layer_names == expected.layer_names
    for column in COLUMNS:
        assert getattr(net.layers, column).tolist() == getattr(expected.layers, column).tolist(), column


def trained(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class BasicBlock(nn.Module):
    def __init__(self, entry: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(entry, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        same = entry == width and stride == 1
        projection = nn.Sequential(nn.Conv2d(entry, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.downsample = nn.Sequential() if same else projection

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.downsample(x)
        return self.relu(y)


class ResNet18(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        for stage, (entry, width) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], start=1):
            blocks = BasicBlock(entry, width, 1 if stage == 1 else 2), BasicBlock(width, width, 1)
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def conv_norm(entry: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(entry, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU6())


class InvertedResidual(nn.Module):
    def __init__(self, entry: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = entry * expansion
        expand = [conv_norm(entry, hidden, 1)] if expansion > 1 else []
        depthwise = conv_norm(hidden, hidden, 3, stride, groups=hidden)
        project = nn.Conv2d(hidden, channels, 1, bias=False)
        self.conv = nn.Sequential(*expand, depthwise, project, nn.BatchNorm2d(channels))
        self.residual = stride == 1 and entry == channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        blocks, entry = [conv_norm(3, 32, 3, 2)], 32
        for expansion, channels, repeats, stride in zoo.MOBILENETV2_STAGES:
            for repeat in range(repeats):
                blocks.append(InvertedResidual(entry, channels, stride if repeat == 0 else 1, expansion))
                entry = channels
        self.features = nn.Sequential(*blocks, conv_norm(320, 1280, 1))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 100))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


@pytest.mark.parametrize(
    ("module", "expected"),
    [(ResNet18, lambda: zoo.resnet18(resolution=64)), (MobileNetV2, lambda: zoo.mobilenetv2(100, resolution=64))],
)
def test_traced_networks_equal_the_zoo(module: type[nn.Module], expected) -> None:
    with torch.device("meta"):
        net = module()
    assert_same_table(from_torch(net, (3, 64, 64), "traced"), expected())


def test_every_kind_of_layer_against_a_count_by_hand() -> None:
    module = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1),  # 16x16
        nn.BatchNorm2d(8),
        nn.Hardswish(),
        nn.Conv2d(8, 8, 5, stride=2, groups=8, bias=False),  # depthwise, 6x6
        nn.Conv2d(8, 12, 3, groups=4, dilation=2),  # grouped, 2x2
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 10),
        nn.Softmax(dim=-1),
    )
    net = from_torch(module, (4, 16, 16), "kinds")
    conv, depthwise, grouped = 16 * 16 * 8 * 4 * 9, 6 * 6 * 8 * 25, 2 * 2 * 12 * 2 * 9
    assert net.macs.tolist() == [conv, 0, 0, depthwise, grouped, 0, 120, 0]
    assert net.layer_names == ("0", "1", "2", "3", "4", "5", "7", "8")
    kinds = [Op.CONV, Op.NORM, Op.ACTIVATION, Op.CONV, Op.CONV, Op.POOL, Op.LINEAR, Op.ACTIVATION]
    assert net.layers.op.tolist() == kinds
    assert net.layers.depthwise.tolist() == [False, False, False, True, False, False, False, False]
    assert net.parameters.sum() == trained(module)


class Tokens(nn.Module):
    """A patch embedding, a class token and a mixing block, as in vision transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.position = nn.Parameter(torch.zeros(1, 17, 16))
        self.norm = nn.LayerNorm(16)
        self.mix = nn.Linear(16, 32)
        self.back = nn.Linear(32, 16, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(1, -1, -1), x], dim=1) + self.position
        return (x + self.back(F.gelu(self.mix(self.norm(x))))).mean(1)


def test_linear_layers_over_tokens() -> None:
    module = Tokens()
    net = from_torch(module, (3, 16, 16), "tokens")
    names = ("embed", "cat", "add", "norm", "mix", "gelu", "back", "add#2", "mean")
    assert net.layer_names == names
    assert net.weighted().macs.tolist() == [16 * 16 * 3 * 16, 17 * 16 * 32, 17 * 32 * 16]
    assert net.layers.out_elements.tolist() == [16 * 16, *[17 * 16] * 3, 17 * 32, 17 * 32, 17 * 16, 17 * 16, 16]
    assert net.parameters.sum() == trained(module)


def test_a_sequence_network() -> None:
    module = nn.Sequential(nn.Conv1d(2, 6, 5, stride=2), nn.BatchNorm1d(6), nn.PReLU(), nn.MaxPool1d(2), nn.Flatten())
    net = from_torch(module, (2, 20), "sequence")
    assert (net.layers.kernel_height[0], net.layers.kernel_width[0]) == (1, 5)
    assert net.macs.tolist() == [8 * 6 * 2 * 5, 0, 0, 0]
    assert net.layers.out_elements.tolist() == [48, 48, 48, 24]
    assert net.parameters.sum() == trained(module)


def kinds(net: Network, op: Op) -> list[str]:
    return [name for name, kind in zip(net.layer_names, net.layers.op, strict=True) if kind == op]


def test_attention_is_products_of_activations() -> None:
    module = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    net = from_torch(nn.Sequential(module), (10, 32), "encoder")
    assert kinds(net, Op.MATMUL) == ["0.self_attn.scores", "0.self_attn.values"]
    products = net.rows(net.layers.op == Op.MATMUL)
    assert products.macs.tolist() == [10 * 10 * 32] * 2
    assert [sizes.tolist() for sizes in products.layers.gemm] == [[4, 4], [10, 10], [10, 8], [8, 10]]
    assert net.weighted().macs.tolist() == [10 * 32 * width for width in (96, 32, 64, 64)]
    assert net.parameters.sum() == trained(module)


def test_a_traced_transformer_block_equals_the_zoo() -> None:
    module = nn.TransformerEncoderLayer(384, 6, 1536, activation="gelu", norm_first=True, batch_first=True)
    traced, net = from_torch(nn.Sequential(module), (197, 384), "block"), zoo.vit_small()
    block = net.rows(np.array([name.startswith("blocks.3.") for name in net.layer_names]))
    assert block.layers.op.tolist() == traced.layers.op.tolist()
    for quantity in ("macs", "parameters"):
        assert getattr(block, quantity).tolist() == getattr(traced, quantity).tolist()


class Cross(nn.Module):
    """Attention to another length, whose packed weights and biases are used in slices."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x[:, :3], x, x)[0]


def test_slices_of_a_parameter_are_counted_once() -> None:
    module = Cross()
    net = from_torch(module, (9, 16), "cross")
    names = ("attention.in_proj_weight", "attention.in_proj_weight#2", "attention.out_proj")
    assert net.weighted().layer_names == names
    assert net.weighted().macs.tolist() == [3 * 256, 9 * 512, 3 * 256]
    assert kinds(net, Op.MATMUL) == ["attention.bmm", "attention.bmm#2"]
    assert net.macs.sum() == net.weighted().macs.sum() + 2 * 3 * 9 * 16
    assert net.parameters.sum() == trained(module)


class Words(nn.Module):
    def __init__(self, cell: type[nn.Module], **more) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 12)
        self.cell = cell(12, 6, batch_first=True, **more)
        self.head = nn.Parameter(torch.zeros(6 * (1 + more.get("bidirectional", False)), 5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bti,io->bto", self.cell(self.table(x))[0], self.head)


@pytest.mark.parametrize(("cell", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("more", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}])
def test_recurrent_networks_over_words(cell, gates, more) -> None:
    module = Words(cell, **more)
    net = from_torch(module, (7,), "words")
    assert kinds(net, Op.EMBEDDING) == ["table"]
    matrices = {
        name: matrix for name, matrix in module.named_parameters() if matrix.ndim == 2 and name != "table.weight"
    }
    assert net.weighted().layer_names == (*(name for name in matrices if name != "head"), "head")
    assert net.macs.sum() == 7 * sum(matrix.numel() for matrix in matrices.values())
    assert net.parameters.sum() == trained(module)
    states = [index for index, name in enumerate(net.layer_names) if name.startswith("cell.state")]
    assert net.layers.out_elements[states].tolist() == [7 * 6] * len(states)
    for name, steps, positions in zip(net.layer_names, net.layers.steps, net.layers.positions, strict=True):
        stepped = "weight_hh" in name or name.startswith(("cell.gates", "cell.state"))
        assert (steps, positions) == ((7, 1) if stepped else (1, 7)), name


def test_what_comes_first_in_a_recurrence_is_its_steps_or_its_images() -> None:
    """A traced input is one image: without ``batch_first`` that is one step of as many sequences as come second."""
    net = from_torch(nn.LSTM(12, 6, proj_size=4), (7, 12))
    assert net.layers.steps.tolist() == [1] * len(net)
    assert net.layers.positions.tolist() == [7] * len(net)
    first = from_torch(nn.LSTM(12, 6, proj_size=4, batch_first=True), (7, 12))
    steps = dict(zip(first.layer_names, first.layers.steps.tolist(), strict=True))
    assert steps == {"weight_ih_l0": 1, "weight_hh_l0": 7, "weight_hr_l0": 7, "gates": 7, "state": 7}
    assert first.macs.tolist() == net.macs.tolist()


def test_a_transposed_convolution_keeps_its_multiplications() -> None:
    module = nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2)
    net = from_torch(nn.Sequential(module), (4, 5, 7), "transposed")
    assert net.macs.tolist() == [5 * 7 * 4 * 3 * 9]
    assert net.layers.weights.tolist() == [module.weight.numel()]
    assert net.parameters.sum() == trained(module)


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.add = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + x
        return self.add(self.add(x).relu())


def test_a_module_called_twice_keeps_a_name_that_resolves() -> None:
    module = Shared()
    net = from_torch(module, (4, 5, 5), "shared")
    assert net.weighted().layer_names == ("add", "add#2")
    assert [module.get_submodule(module_path(name)) for name in net.weighted().layer_names] == [module.add] * 2
    assert len(set(net.layer_names)) == len(net)


def test_weighted_names_are_the_owners_of_the_weights() -> None:
    module = ResNet18()
    net = from_torch(module, (3, 32, 32), "owners").weighted()
    for name, weights in zip(net.layer_names, net.layers.weights, strict=True):
        assert module.get_submodule(name).weight.numel() == weights


class Fourier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"mix": FourierMix(), "out": nn.Linear(8, 8)})

    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(self.encoder["out"](self.encoder["mix"](x)), 1)


class FourierMix(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft2(x).real


def test_all_unsupported_operators_are_named_with_their_module() -> None:
    with pytest.raises(UnsupportedNetwork) as caught:
        from_torch(Fourier(), (4, 8), "x")
    message = str(caught.value)
    assert message.startswith("network 'x': unsupported operators: ")
    assert "aten.fft_fft2 in encoder.mix" in message
    assert "aten.cumsum in the top module" in message


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) if x.sum() > 0 else x


class Dynamic(Branching):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.fc.weight * x.mean())


@pytest.mark.parametrize(
    ("module", "input_shape", "message"),
    [
        (Branching(), (3,), "torch.export cannot trace it on an input of"),
        (nn.Linear(3, 4), (5,), "torch.export cannot trace it on an input of"),
        (Dynamic(), (3,), "layer 'linear': weights computed in the forward pass; accepted: stored"),
        (
            nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
            (3, 8, 8),
            "layer 'conv2d': weights computed in the forward pass",
        ),
        (nn.ReLU(), (3,), "has no layer that can be quantized"),
        (nn.Conv2d(3, 4, 3, stride=(2, 1)), (3, 8, 8), r"layer 'conv2d': stride \(2, 1\); accepted: the same stride"),
        (nn.Sequential(nn.MaxPool2d((2, 1))), (3, 8, 8), r"layer '0': stride \(2, 1\); accepted: the same stride"),
        (nn.Conv3d(3, 4, 3), (3, 8, 8, 8), "unsupported operators: aten.conv3d"),
        (nn.Linear(3, 4), (0, 3), r"input_shape is \[0, 3\]; accepted: positive sizes"),
        (nn.Linear(3, 4), (2**30, 3), r"accepted: positive sizes of at most 2\*\*28"),
        (nn.Linear(2**24, 2**36, device="meta"), (16, 2**24), r"macs; accepted: at most 2\*\*53"),
        ("resnet18", (3, 8, 8), "is a str; accepted: a torch.nn.Module"),
    ],
)
def test_what_cannot_be_modelled_is_one_clear_line(module, input_shape, message, capfd) -> None:
    with pytest.raises(UnsupportedNetwork, match=message) as caught:
        from_torch(module, input_shape, "bad")
    assert re.fullmatch(r"network 'bad'[^\n]+", str(caught.value))
    assert capfd.readouterr() == ("", "")


def test_windows_folded_into_the_batch_are_positions() -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x.reshape(4, 3, 4, 4))

    assert from_torch(Windows(), (3, 8, 8)).macs.tolist() == [4 * 3 * 64]


def test_the_module_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    module[1].eval()
    from_torch(module, (3, 8, 8), "modes")
    assert [part.training for part in module.modules()] == [True, True, False, True]
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert module[1].num_batches_tracked == 0


def test_the_table_names_operators_that_torch_has() -> None:
    for name in {*ROWS, *FREE} - {"getitem"}:
        assert hasattr(torch.ops.aten, name.removeprefix("aten.")), name


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, codesign_gym.simulators.networks as n; n.load('resnet18'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    groups=st.integers(1, 4),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    size=st.tuples(st.integers(7, 12), st.integers(7, 12)),
    bias=st.booleans(),
)
def test_macs_of_any_convolution_follow_its_true_output(
    groups, channels, kernel, stride, padding, dilation, size, bias
) -> None:
    entry, leaving = (groups * count for count in channels)
    module = nn.Conv2d(entry, leaving, kernel, stride, padding, dilation, groups, bias)
    output = module(torch.zeros(1, entry, *size))
    net = from_torch(nn.Sequential(module), (entry, *size), "any")
    per_output = kernel[0] * kernel[1] * entry // groups
    assert net.macs.tolist() == [output.numel() * per_output]
    assert net.parameters.tolist() == [trained(module)]
    assert net.layers.stride.tolist() == [stride]


def test_builder_and_importer_agree_on_pools_and_heads() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 6, 5, bias=True), nn.MaxPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)
    )
    by_hand = Builder(3, 20, 14).conv("0", 6, 5, padding=0, bias=True).pool("1", 3, 2, 1).global_pool("2")
    assert_same_table(from_torch(module, (3, 20, 14), "head"), by_hand.linear("4", 5).build("head"))


@pytest.mark.parametrize(("size", "stride"), [((1, 9), (1, 2)), ((1, 9), (4, 2)), ((9, 1), (2, 3))])
def test_a_stride_along_an_axis_with_one_window_does_not_count(size: tuple[int, int], stride: tuple[int, int]) -> None:
    """As exporters write 1-D convolutions; dilation and padding show in the output's size."""
    kernel = tuple(min(3, extent) for extent in size)
    net = from_torch(nn.Conv2d(3, 4, kernel, stride, bias=False), (3, *size), "flat")
    assert net.layers.stride.tolist() == [2]
    assert net.macs.tolist() == [4 * 4 * 3 * 3]


def test_a_network_without_a_name_has_its_class_name() -> None:
    assert from_torch(nn.Sequential(nn.Linear(3, 4)), (3,)).name == "Sequential"
    with pytest.raises(UnsupportedNetwork, match="network 'Flatten' has no layer"):
        from_torch(nn.Flatten(), (3, 4))


@pytest.mark.parametrize("example", [3, torch.zeros(1, 3)])
def test_an_input_in_place_of_its_shape(example: object) -> None:
    with pytest.raises(UnsupportedNetwork, match=f"input_shape is a {type(example).__name__}; accepted: the sizes of"):
        from_torch(nn.Linear(3, 4), example)
