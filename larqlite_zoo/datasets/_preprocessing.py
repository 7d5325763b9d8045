"""The preprocessings by name, and the ones for small images."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

import tensorflow as tf

from larqlite.errors import ArgumentError, near_matches
from larqlite.internal import Registry

Preprocessing = Callable[[tf.Tensor, tf.Tensor, bool], tf.Tensor]

_preprocessings: dict[str, Callable[..., tf.Tensor]] = Registry()


def register_preprocessing(name: str):
    """Decorator for `(image, key, training, *, image_size, **options) -> image`."""

    def register(function):
        _preprocessings[name] = function
        return function

    return register


def preprocessing(
    name: str, image_size: int | tuple[int, int] | None = None, **options
) -> Preprocessing:
    """A function that turns an image as stored into one as a network sees it.

    | name | in validation | in training, too | options |
    |---|---|---|---|
    | `none` | float32, 0 ... 255 | | |
    | `small` | `x / 127.5 - 1` | random flip and shift | `flip=True`, `shift=0` |
    | `cifar` | `x / 127.5 - 1` | padded by 4 pixels, cropped, flipped | `shift=4` |
    | `imagenet` | central crop, bicubic, normalised | random crop and flip | |

    Args:
        name: one of the names above.
        image_size: height and width of the result, as one number or as a pair; "small",
            "cifar" and "none" resize bilinearly where it is another than the image's. None
            keeps the size; "imagenet" then makes 224.
        **options: those of the preprocessing. `shift` is in pixels: the image is moved
            by up to so many in each direction, and the gap is black.

    Returns:
        A callable `(image, key, training)`: `image` is uint8
        `(height, width, channels)` or the bytes of an encoded image, `key` int64
        `(2,)` alone decides what is random, `training` is a Python bool. It returns
        float32 `(height, width, channels)`, and may be used inside `tf.data`'s `map`.

    Raises:
        ArgumentError: an unknown name or option, or a size that is not positive.

    Example:
        >>> from larqlite_zoo import datasets
        >>> prepare = datasets.preprocessing("small")
        >>> prepare(np.uint8([[[0], [255]]]), key=(1, 2), training=False)[0, :, 0].numpy()
        array([-1., 1.], dtype=float32)
    """
    if name not in _preprocessings:
        raise ArgumentError(
            f'datasets.preprocessing: unknown preprocessing "{name}".\n '
            f"{near_matches(str(name), _preprocessings)} "
            f"All names: {', '.join(sorted(_preprocessings))}."
        )
    function = _preprocessings[name]
    known = [*inspect.signature(function).parameters][4:]
    for option in options:
        if option not in known:
            raise ArgumentError(
                f'datasets.preprocessing("{name}"): unknown option "{option}".\n'
                f"  Fix:{near_matches(option, known)} It takes "
                f"{', '.join(['image_size', *known])}."
            )
    return partial(function, image_size=_pair(name, image_size), **options)


def _pair(name: str, size) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ArgumentError(
            f'datasets.preprocessing("{name}"): image_size={size!r}.\n'
            "  Fix: pass the side in pixels, such as 32, or (height, width)."
        )
    return pair


def decode(image, channels: int = 0) -> tf.Tensor:
    """The pixels of an encoded image; pixels pass as they are.

    Args:
        image: scalar string, or uint8 `(height, width, channels)`.
        channels: 0 keeps those of the file; 1 or 3 turn an encoded image into grey or
            colours.

    Returns:
        uint8 `(height, width, channels)`; of an animation the first picture.
    """
    image = tf.convert_to_tensor(image)
    if image.dtype != tf.string:
        return image
    image = tf.io.decode_image(image, channels, expand_animations=False)
    return tf.ensure_shape(image, (None, None, channels or None))


@register_preprocessing("none")
def plain(image, key=None, training=False, *, image_size=None) -> tf.Tensor:
    """float32 values 0 ... 255, resized where needed."""
    image = decode(image, channels=3)
    if image_size is not None and image.shape[:2] != image_size:
        image = tf.image.resize(image, image_size, antialias=True)
    return tf.cast(image, tf.float32)


@register_preprocessing("small")
def small(
    image, key, training, *, image_size=None, flip: bool = True, shift: int = 0
) -> tf.Tensor:
    """Values in [-1, 1]; in training flipped at random and shifted by some pixels."""
    image = plain(image, image_size=image_size) / 127.5 - 1.0
    if not training:
        return image
    flip_key, shift_key = tf.unstack(tf.random.experimental.stateless_split(key, 2))
    if flip:
        image = tf.image.stateless_random_flip_left_right(image, flip_key)
    if shift:
        around = [[shift, shift], [shift, shift], [0, 0]]
        padded = tf.pad(image, around, constant_values=-1.0)
        size = image.shape if image.shape.is_fully_defined() else tf.shape(image)
        image = tf.image.stateless_random_crop(padded, size, shift_key)
    return image


@register_preprocessing("cifar")
def cifar(image, key, training, *, image_size=None, shift: int = 4) -> tf.Tensor:
    """Values in [-1, 1]; in training, the augmentation of most papers on CIFAR-10.

    The image is padded by `shift` black pixels on each side, cropped to its size, and
    mirrored with a probability of 1/2 (https://arxiv.org/abs/1512.03385, section 4.2).
    """
    return small(image, key, training, image_size=image_size, shift=shift)
