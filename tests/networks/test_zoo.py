import numpy as np
import pytest

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.networks import CATALOG, Op, load, zoo

#: Trained parameters, millions of multiply-accumulates and how far from that we may be. Sources, unless another is
#: named: what torchvision publishes with its weights (``num_params``, and ``_ops`` in units of 1e9).
PUBLISHED = {
    "alexnet": (61_100_840, 714, 0.5),
    "squeezenet": (1_235_496, 349, 0.5),
    "vgg16": (138_357_544, 15_470, 5),
    "resnet18": (11_689_512, 1_814, 0.5),
    "resnet50": (25_557_032, 4_089, 0.5),
    "mobilenetv1": (4_231_976, 569, 0.5),  # arXiv:1704.04861, table 4: 569 M, and 4.2 M parameters
    "mobilenetv2": (3_504_872, 301, 0.5),
    "mobilenetv3_large": (5_483_032, 217, 0.5),  # arXiv:1905.02244, table 3: 219 M, and 5.4 M parameters
    "mobilenetv3_small": (2_542_856, 57, 0.5),  # arXiv:1905.02244, table 3: 56 M, and 2.5 M parameters
    "efficientnet_b0": (5_288_548, 386, 0.5),  # arXiv:1905.11946, table 2: 390 M, and 5.3 M parameters
    # Parameters: Keras Hub's efficientnet_lite0; timm's card of tf_efficientnet_lite0 says 0.4 GMACs.
    "efficientnet_lite0": (4_652_008, 400, 50),
    # Parameters: Hugging Face's BertModel, bert-base-uncased. arXiv:2004.02984, table 4: 22.5e9 operations, 109 M.
    "bert_base": (109_482_240, 22_500 / 2, 100),
    # arXiv:2012.12877, table 1 (DeiT-S): 22 M; timm's vit_small_patch16_224: 22.05 M, 4.6 GMACs.
    "vit_small": (22_050_664, 4_600, 50),
    # arXiv:1409.2329 gives the shape: 10,000 words, 2 x 650 units, 35 steps. Two tables of 650 x 10,000, biases of
    # the decoder, and in each layer 8 matrices of 650 x 650 and, as in torch, 8 biases of 650.
    "lstm_medium": (2 * 6_500_000 + 10_000 + 2 * 8 * (650**2 + 650), 35 * (16 * 650**2 + 6_500_000) / 1e6, 1e-6),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_macs_and_parameters_are_the_published_ones(name: str) -> None:
    parameters, macs, tolerance = PUBLISHED[name]
    net = getattr(zoo, name)()
    assert net.parameters.sum() == parameters
    assert net.macs.sum() / 1e6 == pytest.approx(macs, abs=tolerance)


def test_the_zoo_is_in_the_catalogue() -> None:
    assert {name.replace("_", "-") for name in PUBLISHED} <= set(CATALOG.names())


@pytest.mark.parametrize("name", ["mobilenetv1", "mobilenetv2", "resnet18", "resnet50"])
def test_rows_connect(name: str) -> None:
    layers = getattr(zoo, name)().layers
    shape_in = np.stack([layers.in_channels, layers.in_height, layers.in_width], axis=-1)
    shape_out = np.stack([layers.out_channels, layers.out_height, layers.out_width], axis=-1)
    breaks = np.flatnonzero((shape_in[1:] != shape_out[:-1]).any(-1)) + 1
    # Only the convolution of a shortcut starts elsewhere than where the row before it ended.
    assert all("downsample.0" in getattr(zoo, name)().layer_names[i] for i in breaks)
    assert ((layers.op == Op.NORM) <= (layers.extra_parameters == 2 * layers.out_channels)).all()


def test_fewer_classes_change_the_head_alone() -> None:
    full, small = zoo.mobilenetv2(), zoo.mobilenetv2(classes=100)
    assert small.macs[:-1].tolist() == full.macs[:-1].tolist()
    assert small.parameters[-1] == 1280 * 100 + 100


def test_macs_scale_with_the_feature_map() -> None:
    full, small = zoo.resnet50(), zoo.resnet50(resolution=32)
    assert small.macs[:-1].sum() * 49 == full.macs[:-1].sum()
    assert small.parameters.tolist() == full.parameters.tolist()


@pytest.mark.parametrize("arguments", [{"classes": 0}, {"classes": -1}, {"resolution": 0}, {"resolution": -300}])
def test_impossible_sizes_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(UnsupportedNetwork, match="accepted: 1 to"):
        zoo.mobilenetv2(**arguments)


def test_attention_is_products_of_activations() -> None:
    bert, vit = zoo.bert_base(sequence=128), zoo.vit_small()
    for net, heads, length, width in ((bert, 12, 128, 768), (vit, 6, 197, 384)):
        products = net.rows(net.layers.op == Op.MATMUL)
        assert products.macs.tolist() == [length**2 * width] * 24
        assert products.layers.gemm.count.tolist() == [heads] * 24
    assert zoo.bert_base(sequence=256).parameters.sum() == bert.parameters.sum()


@pytest.mark.parametrize(("name", "layers"), [("mobilenetv3_large", 8), ("efficientnet_b0", 16)])
def test_squeeze_and_excite_works_on_means(name: str, layers: int) -> None:
    net = getattr(zoo, name)()
    squeezing = [index for index, row in enumerate(net.layer_names) if row.endswith((".fc1", ".fc2"))]
    assert len(squeezing) == 2 * layers
    assert (net.layers.out_height[squeezing] == 1).all()


@pytest.mark.reference
def test_haq_table_rows_are_the_weighted_rows_in_order(references) -> None:
    cycles = np.load(references / "haq" / "qmobilenetv2_imagenet100_batch16_latency_table.npy")
    layers = load("mobilenetv2-imagenet100").weighted().layers.with_batch(16)
    assert cycles.shape == (len(layers.op), 8, 8)
    # A depthwise row costs batch * positions * activation bits * channels / 16, whatever its weight bits.
    depthwise = np.asarray(layers.depthwise)
    expected = layers.out_elements * 8 / 16
    assert expected[depthwise] == pytest.approx(cycles[depthwise, 7, 7], rel=0.15)
