"""Small networks for small images (28x28, 32x32), and for keywords in speech."""

from larqlite_zoo.small.cnv import CNV
from larqlite_zoo.small.ds_cnn import DSCNN
from larqlite_zoo.small.resnet8 import ResNet8
from larqlite_zoo.small.resnet20 import BinaryResNet20
from larqlite_zoo.small.vgg import BinaryVGGSmall, VGGSmallFP

__all__ = ["CNV", "DSCNN", "BinaryResNet20", "BinaryVGGSmall", "ResNet8", "VGGSmallFP"]
