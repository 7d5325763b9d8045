"""Images with borders around them and gaps between their pixels, in memory of their own."""

from __future__ import annotations

from dataclasses import dataclass

from larqlite_runtime._program import TensorView
from larqlite_runtime.planner._window import Triple, Window


@dataclass(frozen=True)
class PaddedTensor:
    """Where the pixels of an image lie; depth, height, width.

    Attributes:
        size: of the image, without what is put around and between.
        pixel: elements of one pixel.
        spacing: from one pixel to the next.
        before, after: borders.
        tail: elements behind the last pixel, which stand for nothing.
    """

    size: Triple
    pixel: int
    spacing: Triple = (1, 1, 1)
    before: Triple = (0, 0, 0)
    after: Triple = (0, 0, 0)
    tail: int = 0

    @property
    def whole(self) -> Triple:
        """Depth, height and width with all that is put around and between."""
        return tuple(
            before + (size - 1) * gap + 1 + after
            for before, size, gap, after in zip(
                self.before, self.size, self.spacing, self.after, strict=True
            )
        )

    @property
    def elements(self) -> int:
        """Elements of one image."""
        depth, height, width = self.whole
        return depth * height * width * self.pixel + self.tail

    @property
    def has_more(self) -> bool:
        """Whether there is anything but the image."""
        return self.whole != self.size or self.tail > 0

    @property
    def _strides(self) -> Triple:
        _, height, width = self.whole
        return height * width * self.pixel, width * self.pixel, self.pixel

    def _view(self, buffer: int, first: Triple, every: Triple) -> TensorView:
        strides = self._strides
        offset = sum(at * stride for at, stride in zip(first, strides, strict=True))
        return TensorView(buffer, offset, self.elements, *strides).every(*every)

    def image_view(self, buffer: int) -> TensorView:
        """Where each pixel of the image lies."""
        return self._view(buffer, self.before, self.spacing)

    def window_view(self, buffer: int, window: Window) -> TensorView:
        """Where each output of a window finds its first tap."""
        first = tuple(
            border - before
            for border, before in zip(self.before, window.before, strict=True)
        )
        return self._view(buffer, first, window.stride)

    def taps(self, window: Window) -> Triple:
        """Elements from one tap to the next."""
        return self.taps_of(window.dilation)

    def taps_of(self, dilation: Triple) -> Triple:
        """The same of a window that takes every so many elements."""
        return tuple(
            step * stride for step, stride in zip(dilation, self._strides, strict=True)
        )


def padded_for(window: Window, pixel: int) -> PaddedTensor:
    """The smallest padded tensor that holds all taps of a window."""
    return PaddedTensor(
        window.size,
        pixel,
        window.spacing,
        tuple(max(0, border) for border in window.before),
        window.after,
    )
