"""Kinds of operations of TensorFlow, by what TFLite's integers of them ask for."""

from __future__ import annotations

__all__ = ["DIVIDES", "JOINED", "KNOWN", "MIXES", "MOVES", "QUANTIZES", "STAYS"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What comes out are values that went in: rounding may come first or last.
MOVES = _words(
    """
    BatchToSpaceND BroadcastTo Concat ConcatV2 DepthToSpace ExpandDims Gather GatherNd
    GatherV2 Max MaxPool MaxPoolV2 Maximum Min Minimum MirrorPad Pack Pad PadV2 Reshape
    ResizeNearestNeighbor Reverse ReverseSequence ReverseV2 Select SelectV2 Slice
    SpaceToBatchND SpaceToDepth Split SplitV Squeeze StridedSlice Tile TopKV2 Transpose
    Unpack
    """
)
# One scale too, but for values that are mixed.
MIXES = _words("AvgPool ResizeBilinear")
# The converter tries to make integers of these, and stops.
STAYS = _words("OneHot")
# Integers of these have a scale of their own: the ends of their ranges, bits, narrow.
KNOWN = {
    "LogSoftmax": (-16 * 255 / 256, 0.0, 8, False),
    "Sigmoid": (0.0, 255 / 256, 8, False),
    "Softmax": (0.0, 255 / 256, 8, False),
    "Tanh": (-1.0, 127 / 128, 8, False),
}
# The kernel of integers stops at a divisor of 0, and rounds the quotient of two codes.
DIVIDES = _words("Div DivNoNan RealDiv")
# What the converter joins with a convolution before.
JOINED = _words("Add AddV2 BiasAdd FusedBatchNormV3 Mul Relu Relu6 Sub")
QUANTIZES = "FakeQuantWithMinMaxVars"
