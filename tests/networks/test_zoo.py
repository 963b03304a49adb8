import numpy as np
import pytest

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.networks import Op, load, zoo

#: Millions of multiply-accumulates at 224 x 224, trained parameters, layers with weights. MACs and parameters
#: are those torchvision publishes with its weights (and the MobileNet paper: 569 M, 4.2 M).
PUBLISHED = {
    "mobilenetv1": (568.74, 4_231_976, 28),
    "mobilenetv2": (300.77, 3_504_872, 53),
    "resnet18": (1814.07, 11_689_512, 21),
    "resnet50": (4089.18, 25_557_032, 54),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_macs_and_parameters_are_the_published_ones(name: str) -> None:
    macs, parameters, weighted = PUBLISHED[name]
    net = getattr(zoo, name)()
    assert net.macs.sum() / 1e6 == pytest.approx(macs, abs=0.005)
    assert net.parameters.sum() == parameters
    assert len(net.weighted()) == weighted


@pytest.mark.parametrize("name", PUBLISHED)
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


@pytest.mark.reference
def test_haq_table_rows_are_the_weighted_rows_in_order(references) -> None:
    cycles = np.load(references / "haq" / "qmobilenetv2_imagenet100_batch16_latency_table.npy")
    layers = load("mobilenetv2-imagenet100").weighted().layers.with_batch(16)
    assert cycles.shape == (len(layers.op), 8, 8)
    # A depthwise row costs batch * positions * activation bits * channels / 16, whatever its weight bits.
    depthwise = np.asarray(layers.depthwise)
    expected = layers.out_elements * 8 / 16
    assert expected[depthwise] == pytest.approx(cycles[depthwise, 7, 7], rel=0.15)
