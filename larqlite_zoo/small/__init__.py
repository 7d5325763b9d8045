"""Small networks for small images (28x28, 32x32)."""

from larqlite_zoo.small.resnet20 import BinaryResNet20
from larqlite_zoo.small.vgg import BinaryVGGSmall, VGGSmallFP

__all__ = ["BinaryResNet20", "BinaryVGGSmall", "VGGSmallFP"]
