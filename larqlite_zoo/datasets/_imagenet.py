"""The preprocessing of ImageNet: `preprocess_input`, and the crops of its training."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from larqlite.errors import ArgumentError
from larqlite_zoo.datasets._preprocessing import decode, register_preprocessing

IMAGE_SIZE = (224, 224)
# Of red, green and blue over ImageNet's training images, in units of bytes.
MEAN = 255.0 * np.array([0.485, 0.456, 0.406])
DEVIATION = 255.0 * np.array([0.229, 0.224, 0.225])
AREA_RANGE = (0.08, 1.0)
ASPECT_RATIO_RANGE = (3 / 4, 4 / 3)
ATTEMPTS = 10


def preprocess_input(image: Any) -> Any:
    r"""An image as the networks trained on ImageNet see it.

    The square of side `floor(7/8 min(height, width))` in the middle, that is 224 of
    256, resized to 224 x 224 by bicubic interpolation, and normalised for each colour:

    $$ y = \frac{x - 255 \mu}{255 \sigma}, \quad
       \mu = (0.485, 0.456, 0.406), \ \sigma = (0.229, 0.224, 0.225) $$

    The interpolation is that of TensorFlow 1: cubic with a = -0.75, corners not
    aligned, the centres of pixels at whole numbers.

    Args:
        image: array or tensor `(height, width, 3)`, red, green and blue in 0 ... 255;
            uint8, or floats of the same range.

    Returns:
        float32 `(224, 224, 3)`: a NumPy array for an array, else a tensor.

    Raises:
        ArgumentError: the image has not three axes, or not three channels.

    Example:
        >>> from larqlite_zoo import preprocess_input
        >>> preprocess_input(np.full([300, 400, 3], 255, np.uint8))[0, 0].round(3)
        array([2.249, 2.429, 2.64 ], dtype=float32)

    References:
        Keys, Cubic convolution interpolation for digital image processing, 1981,
        https://doi.org/10.1109/TASSP.1981.1163711.
    """
    shape = np.shape(image) if not tf.is_tensor(image) else image.shape
    if len(shape) != 3 or shape[2] not in (3, None):
        raise ArgumentError(
            f"preprocess_input: the image has the shape {tuple(shape)}, but (height, "
            "width, 3) is needed.\n  Fix: pass one image, such as batch[0]; a grey one "
            "as np.repeat(image, 3, axis=-1)."
        )
    result = imagenet(tf.convert_to_tensor(image), image_size=IMAGE_SIZE)
    return result if tf.is_tensor(image) else result.numpy()


@register_preprocessing("imagenet")
def imagenet(image, key=None, training=False, *, image_size=None) -> tf.Tensor:
    """A random crop, perhaps flipped, in training, else the middle; normalised.

    The random crop has 8 to 100 % of the area and sides that relate as 3/4 to 4/3;
    where ten attempts find none, it is the middle. Of a JPEG file, only the crop is
    decoded.
    """
    image_size = image_size or IMAGE_SIZE
    image = tf.convert_to_tensor(image)
    if image.dtype == tf.string:
        cropped = tf.cond(
            tf.io.is_jpeg(image),
            lambda: _crop_of_jpeg(image, key, training, image_size),
            lambda: _crop(decode(image, channels=3), key, training, image_size),
        )
    else:
        cropped = _crop(image, key, training, image_size)
    if cropped.shape[-1] == 1:
        cropped = tf.image.grayscale_to_rgb(cropped)
    if training:
        cropped = tf.image.stateless_random_flip_left_right(cropped, _split(key)[1])
    # The raw op, since tf.image.resize places the centres of pixels at halves.
    resized = tf.raw_ops.ResizeBicubic(
        images=cropped[tf.newaxis], size=image_size, half_pixel_centers=False
    )[0]
    return tf.ensure_shape((resized - MEAN) / DEVIATION, (*image_size, 3))


def _crop_of_jpeg(image, key, training, image_size):
    window = _window(tf.image.extract_jpeg_shape(image), key, training, image_size)
    return tf.image.decode_and_crop_jpeg(image, window, channels=3)


def _crop(image, key, training, image_size):
    top, left, height, width = tf.unstack(
        _window(tf.shape(image), key, training, image_size)
    )
    return image[top : top + height, left : left + width]


def _window(shape, key, training, image_size):
    """`(top, left, height, width)` of the crop in an image of that shape."""
    central = _central_window(shape, image_size)
    if not training:
        return central
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        bounding_boxes=[[[0.0, 0.0, 1.0, 1.0]]],
        seed=_split(key)[0],
        # Of the box, which is the whole image: smaller than the smallest area.
        min_object_covered=AREA_RANGE[0] / 2,
        aspect_ratio_range=ASPECT_RATIO_RANGE,
        area_range=AREA_RANGE,
        max_attempts=ATTEMPTS,
    )
    # The op answers with the whole image where no attempt succeeded.
    none_found = tf.reduce_all(tf.equal(size[:2], shape[:2]))
    window = tf.concat([begin[:2], size[:2]], axis=0)
    return tf.where(none_found, central, window)


def _central_window(shape, image_size):
    """The largest window of the proportions of `image_size`, and of that 7/8."""
    height, width = shape[0], shape[1]
    across = tf.minimum(height * image_size[1], width * image_size[0])
    size = [7 * across // (8 * image_size[1]), 7 * across // (8 * image_size[0])]
    size = tf.maximum(tf.stack(size), 1)
    return tf.concat([(shape[:2] - size + 1) // 2, size], axis=0)


def _split(key):
    return tf.unstack(tf.random.experimental.stateless_split(key, 2))
