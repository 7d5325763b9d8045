"""Networks of the literature, one file per family."""

from larqlite_zoo.literature.adabin import AdaBinResNet18
from larqlite_zoo.literature.binary_alexnet import BinaryAlexNet
from larqlite_zoo.literature.birealnet import BiRealNet
from larqlite_zoo.literature.densenet import (
    BinaryDenseNet28,
    BinaryDenseNet37,
    BinaryDenseNet37Dilated,
    BinaryDenseNet45,
)
from larqlite_zoo.literature.dorefanet import DoReFaNet
from larqlite_zoo.literature.meliusnet import MeliusNet22
from larqlite_zoo.literature.reactnet import ReActNet18, ReActNetA
from larqlite_zoo.literature.real_to_bin import (
    RealToBinaryNet,
    RealToBinNetBAN,
    RealToBinNetBNN,
    RealToBinNetFP,
)
from larqlite_zoo.literature.resnet18 import ResNet18FP
from larqlite_zoo.literature.resnet_e import BinaryResNetE18
from larqlite_zoo.literature.strong_baseline import (
    StrongBaselineNetBAN,
    StrongBaselineNetBNN,
)
from larqlite_zoo.literature.xnornet import XNORNet

__all__ = [
    "AdaBinResNet18",
    "BinaryAlexNet",
    "BiRealNet",
    "BinaryResNetE18",
    "BinaryDenseNet28",
    "BinaryDenseNet37",
    "BinaryDenseNet37Dilated",
    "BinaryDenseNet45",
    "DoReFaNet",
    "MeliusNet22",
    "ReActNet18",
    "ReActNetA",
    "RealToBinaryNet",
    "RealToBinNetFP",
    "RealToBinNetBAN",
    "RealToBinNetBNN",
    "ResNet18FP",
    "StrongBaselineNetBAN",
    "StrongBaselineNetBNN",
    "XNORNet",
]
