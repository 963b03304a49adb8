"""Published networks as layer tables, from their papers; no torch, no weights.

Layer names are those of torchvision's modules where it has the network; of timm's for vision transformers, of
Hugging Face's for BERT. A new network is a function of its sizes that walks a ``Builder``, and a file in
``configs/networks``.
"""

from codesign_gym.simulators.networks.zoo.mobile import (
    MOBILENETV2_STAGES,
    efficientnet_b0,
    efficientnet_lite0,
    mobilenetv1,
    mobilenetv2,
    mobilenetv3_large,
    mobilenetv3_small,
)
from codesign_gym.simulators.networks.zoo.plain import alexnet, squeezenet, vgg16
from codesign_gym.simulators.networks.zoo.residual import resnet18, resnet50
from codesign_gym.simulators.networks.zoo.sequence import bert_base, lstm_medium, vit_small

__all__ = [
    "MOBILENETV2_STAGES",
    "alexnet",
    "bert_base",
    "efficientnet_b0",
    "efficientnet_lite0",
    "lstm_medium",
    "mobilenetv1",
    "mobilenetv2",
    "mobilenetv3_large",
    "mobilenetv3_small",
    "resnet18",
    "resnet50",
    "squeezenet",
    "vgg16",
    "vit_small",
]
