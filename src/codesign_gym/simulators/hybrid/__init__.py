"""Layers that do not multiply, and how networks that mix them with convolutions are pretrained (NASA, ICCAD 2022)."""
