from pathlib import Path

import pytest
from onnx_samples import model, node

from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.records import parse
from codesign_gym.simulators.networks import CATALOG, Network, NetworkFile, load, parse_input_shape, read, to_csv, zoo

SHIPPED = {
    "alexnet": 8,
    "bert-base": 73,
    "efficientnet-b0": 82,
    "efficientnet-lite0": 50,
    "lstm-medium": 5,
    "mobilenetv1": 28,
    "mobilenetv2": 53,
    "mobilenetv2-imagenet100": 53,
    "mobilenetv3-large": 64,
    "mobilenetv3-small": 54,
    "resnet18": 21,
    "resnet50": 54,
    "squeezenet": 26,
    "vgg16": 16,
    "vit-small": 50,
}

TINY = zoo.resnet18(classes=10, resolution=32)


def build_table() -> Network:
    return TINY


def build_module():
    from torch import nn

    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 3))


def build_module_with_shape():
    return build_module()


build_module_with_shape.input_shape = (1, 8, 8)


def build_with_width(width: int):
    from torch import nn

    return nn.Linear(6, width)


def build_text() -> str:
    return "network"


def here(name: str) -> str:
    return f"{__name__}:{name}"


@pytest.fixture
def write(tmp_path: Path):
    def file(**fields) -> str:
        path = tmp_path / "mine.yaml"
        lines = {"title": "mine", "source": "none", **fields}
        path.write_text("\n".join(f"{key}: {value}" for key, value in lines.items()), encoding="utf-8")
        return str(path)

    return file


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_shapes_load_by_id(name: str) -> None:
    assert name in CATALOG.names()
    net = load(name)
    assert net.name == name
    assert len(net.weighted()) == SHIPPED[name]
    assert read(name).source


def test_haq_network_has_a_hundred_classes() -> None:
    net = load("mobilenetv2-imagenet100").weighted()
    assert len(net) == 53
    assert net.layers.out_channels[-1] == 100


def test_unknown_id_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown network 'resnet5'; did you mean 'resnet"):
        load("resnet5")


def test_user_file_by_path(write) -> None:
    layers = "codesign_gym.simulators.networks.zoo:mobilenetv1"
    net = load(write(layers=layers, arguments="{classes: 7, resolution: 96}"))
    assert net.layers.out_channels[-1] == 7
    assert net.layers.in_height[0] == 96


def test_module_file_uses_its_shape_unless_another_is_given(write) -> None:
    name = write(module=here("build_with_width"), arguments="{width: 5}", input_shape="[3, 6]")
    assert load(name).macs.tolist() == [3 * 6 * 5]
    assert load(name, input_shape=(7, 6)).macs.tolist() == [7 * 6 * 5]


def test_references(write) -> None:
    assert load(here("build_table")).macs.tolist() == TINY.macs.tolist()
    assert load(here("TINY")).name == here("TINY")
    assert load(here("build_module"), (1, 8, 8)).macs.tolist() == [36 * 4 * 9, 144 * 3]
    assert load(here("build_module_with_shape")).layer_names == ("0", "2")


@pytest.mark.parametrize("text", ["3,224,224", "3x224x224", " 3x224 , 224"])
def test_input_shapes_as_text(text: str) -> None:
    assert parse_input_shape(text) == (3, 224, 224)
    assert parse_input_shape(f"a:0={text};b=1") == {"a:0": (3, 224, 224), "b": (1,)}


@pytest.mark.parametrize("text", ["", "3x", "a=", "a=3;a=4", "3;4", "a=3;4", "a=b"])
def test_bad_input_shapes_are_one_clear_line(text: str) -> None:
    with pytest.raises(BadConfig, match="accepted: sizes as in 3x224x224, or by the inputs' names"):
        parse_input_shape(text)


def test_an_onnx_model_of_open_inputs_by_name(tmp_path: Path) -> None:
    made = model([node("MatMul", "x k")], {"x": ("N", 2, 3), "k": ("N", 3, 5)})
    path = tmp_path / "two.onnx"
    path.write_bytes(made.SerializeToString())
    assert load(str(path), parse_input_shape("x=1x2x3;k=1x3x5")).macs.tolist() == [30]
    with pytest.raises(BadConfig, match="accepted: sizes by name, for the inputs x, k"):
        load(str(path), (2, 3))


def test_what_has_sizes_of_its_own_takes_no_shape(tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_text("Layer,M,N,K\na,2,3,4\n")
    with pytest.raises(BadConfig, match="is a table of shapes; accepted: no input shape"):
        load(str(tmp_path / "net.csv"), (3, 8, 8))
    with pytest.raises(BadConfig, match="accepted: sizes alone, as 3x224x224"):
        load(here("build_module"), {"x": (1, 1, 8, 8)})


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("build_module", "input_shape is missing; accepted: the shape of one input"),
        ("build_text", "builds a str; accepted: a Network or a torch module"),
        ("SHIPPED", "a dict; accepted: a network, or a function that returns one"),
        ("build_with_width", r"building the network with \{\} failed: .*'width'"),
        ("absent", "has no 'absent'"),
    ],
)
def test_bad_references_are_one_clear_line(reference: str, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        load(here(reference))


def test_bad_arguments_name_the_field(write) -> None:
    name = write(layers="codesign_gym.simulators.networks.zoo:resnet18", arguments="{clases: 10}")
    with pytest.raises(BadConfig, match=r"field 'arguments'.*'clases'"):
        load(name)


TRAINING = {"epochs": 3, "batch_size": 64, "learning_rate": 0.1}
MODULE = {"title": "t", "source": "s", "module": "a:b"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"title": "t", "source": "s"}, "exactly one of the fields 'layers' and 'module'"),
        ({**MODULE, "layers": "c:d"}, "exactly one of the fields 'layers' and 'module'"),
        ({"title": "t", "source": "s", "layers": "c:d", "data": "e:f"}, "data without 'module'"),
        ({**MODULE, "modul": "a:b"}, "unknown field 'modul'; did you mean 'module'"),
        ({**MODULE, "training": {**TRAINING, "epochs": 0}}, "'training.epochs' is 0: Input should be greater than 0"),
        ({**MODULE, "training": {**TRAINING, "momentum": 1.0}}, r"'training.momentum' is 1.0"),
        ({**MODULE, "training": {**TRAINING, "optimizer": "lion"}}, r"'training.optimizer' is 'lion': .*'sgd'"),
    ],
)
def test_bad_network_files_name_the_field(data: dict, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        parse(NetworkFile, data, "file.yaml")


def test_a_module_file_is_read_whole() -> None:
    data = {**MODULE, "arguments": {"width": 8}, "data": "e:f", "input_shape": [1, 8, 8], "training": TRAINING}
    content = parse(NetworkFile, data, "file.yaml")
    assert content.input_shape == (1, 8, 8)
    assert content.training is not None
    assert (content.training.optimizer, content.training.seed) == ("sgd", 0)


def test_onnx_and_csv_files_by_path(tmp_path: Path) -> None:
    from onnx_samples import model, node, weights

    made = model([node("Conv", "x w")], {"x": ("batch", 3, "side", "side")}, [weights("w", 4, 3, 3, 3)])
    path = tmp_path / "mine.onnx"
    path.write_bytes(made.SerializeToString())
    assert load(str(path), (3, 8, 8)).macs.tolist() == [36 * 4 * 27]
    assert load(str(path), (3, 8, 8)).name == str(path)
    with pytest.raises(BadConfig, match=r"input 'x': dimension 0, 'batch', has no size"):
        load(str(path))
    to_csv(TINY, tmp_path / "mine.csv")
    assert load(str(tmp_path / "mine.csv")).macs.sum() == TINY.macs.sum()
    for name in ("mine.onnx", "mine.csv"):
        with pytest.raises(BadConfig, match=f"is a .{name[5:]} file; expected an id or the path of a YAML file"):
            read(str(tmp_path / name))
    with pytest.raises(BadConfig, match=r"network file 'absent.onnx' does not exist"):
        load("absent.onnx")


def test_read_wants_a_file() -> None:
    with pytest.raises(BadConfig, match="expected an id or the path of a YAML file"):
        read(here("TINY"))
