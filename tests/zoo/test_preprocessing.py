"""Preprocessing of a real photo equals NumPy by hand, Larq Zoo's, and the definitions."""

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from larqlite.errors import ArgumentError
from larqlite_zoo.datasets import preprocess_input, preprocessing

PHOTO = Path(__file__).parent / "photos" / "palace.jpg"
GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "preprocess_input.npz")
MEAN = np.array([0.485, 0.456, 0.406])
DEVIATION = np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def photo():
    """As TensorFlow decodes it, 375 x 500."""
    return tf.image.decode_jpeg(PHOTO.read_bytes(), channels=3).numpy()


def key(*numbers):
    return tf.constant(numbers, tf.int64)


def cubic_weights(old, new, a=-0.75, exact=False):
    """`(new, old)`: the cubic convolution of Keys 1981 for one axis.

    TensorFlow 1 reads its kernel from a table of 1,024 steps.
    """
    weights = np.zeros((new, old))
    for i in range(new):
        first, offset = divmod(i * old / new, 1)
        offset = offset if exact else round(offset * 1024) / 1024
        for j in range(-1, 3):
            t = abs(offset - j)
            if t <= 1:
                weight = (a + 2) * t**3 - (a + 3) * t**2 + 1
            else:
                weight = a * (t**3 - 5 * t**2 + 8 * t - 4)
            weights[i, np.clip(int(first) + j, 0, old - 1)] += weight
    return weights


def resized(image, height, width, **how):
    rows = cubic_weights(image.shape[0], height, **how)
    columns = cubic_weights(image.shape[1], width, **how)
    # One axis after the other: all three operands at once take minutes.
    tall = np.tensordot(rows, image.astype(float), 1)
    return np.tensordot(columns, tall, (1, 1)).swapaxes(0, 1)


def normalised(image):
    return (image / 255 - MEAN) / DEVIATION


def middle(image, side):
    top, left = ((length - side + 1) // 2 for length in image.shape[:2])
    return image[top : top + side, left : left + side]


@pytest.mark.parametrize("upright", [False, True])
def test_preprocess_input_is_the_middle_square_resized_and_normalised(photo, upright):
    image = np.ascontiguousarray(photo.transpose(1, 0, 2)) if upright else photo
    by_hand = normalised(resized(middle(image, 328), 224, 224))  # 375 * 224 / 256
    result = preprocess_input(image)
    assert isinstance(result, np.ndarray)
    assert result.dtype == np.float32
    assert result.shape == (224, 224, 3)
    np.testing.assert_allclose(result, by_hand, atol=1e-4)
    # The exact cubic is close, another cubic is not: the comparison can fail.
    exact = normalised(resized(middle(image, 328), 224, 224, exact=True))
    np.testing.assert_allclose(result, exact, atol=0.02)
    other = normalised(resized(middle(image, 328), 224, 224, a=-0.5))
    assert np.abs(result - other).max() > 0.1


def test_the_picture_is_that_of_pillow(photo):
    # Pillow decodes with its own library, and its cubic has other coefficients, centres
    # and a wider reach: the pictures agree, their pixels only nearly.
    image = Image.open(PHOTO).convert("RGB").crop((86, 24, 414, 352))
    pillow = normalised(np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC)))
    result = preprocess_input(photo)
    for channel in range(3):
        pair = np.corrcoef(result[..., channel].ravel(), pillow[..., channel].ravel())
        assert pair[0, 1] > 0.97
    # Within two bytes of 255.
    np.testing.assert_allclose(result.mean((0, 1)), pillow.mean((0, 1)), atol=0.03)


@pytest.mark.parametrize("name", ["array", "upright", "small", "float", "bytes"])
def test_preprocessing_computes_what_larq_zoo_computes(photo, name):
    image = {
        "upright": np.ascontiguousarray(photo.transpose(1, 0, 2)),
        "small": photo[100:181, 120:220],
        "float": photo.astype(np.float32),
    }.get(name, photo)
    if name == "bytes":
        data = PHOTO.read_bytes()
        result = preprocessing("imagenet", 224)(data, key(0, 0), False).numpy()
    else:
        result = preprocess_input(image)
    np.testing.assert_allclose(result[3::20, 5::20], GOLDEN[name], atol=1e-5)
    sums = [result.mean(), np.abs(result).mean(), result.std()]
    np.testing.assert_allclose(sums, GOLDEN[f"{name}_sums"], atol=1e-5)


def test_the_resizing_is_the_op_of_tensorflow_1(photo):
    old = tf.compat.v1.image.resize_bicubic([middle(photo, 328)], [224, 224])[0]
    np.testing.assert_allclose(preprocess_input(photo), normalised(old), atol=1e-4)


def test_preprocess_input_returns_a_tensor_for_a_tensor(photo):
    result = preprocess_input(tf.constant(photo))
    assert tf.is_tensor(result)
    np.testing.assert_array_equal(result, preprocess_input(photo))
    in_graph = tf.function(preprocess_input)(tf.constant(photo))
    np.testing.assert_allclose(in_graph, result, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 32, 32, 3), (32, 32), (32, 32, 1), (32, 32, 4)])
def test_preprocess_input_refuses_what_is_no_colour_image(shape):
    with pytest.raises(ArgumentError, match=r"\(height, width, 3\) is needed"):
        preprocess_input(np.zeros(shape, np.uint8))


def test_one_pixel_becomes_an_image():
    result = preprocess_input(np.full([1, 1, 3], 255, np.uint8))
    np.testing.assert_allclose(
        result, np.ones((224, 224, 1)) * normalised(255.0), rtol=1e-4
    )


def coordinates(height, width):
    """An image whose pixels say where they are, from 0 to 1, in float."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y / height, x / width, 0 * x], axis=-1).astype(np.float32) * 255


def windows(height, width, count=300):
    """`(top, left, bottom, right)` in pixels of the random crops, flips undone."""
    prepare = preprocessing("imagenet", 128)
    image = tf.constant(coordinates(height, width))
    results = tf.data.Dataset.range(count).map(
        lambda i: prepare(image, tf.stack([tf.cast(7, tf.int64), i]), True)
    )
    found, flipped = [], 0
    for result in results.as_numpy_iterator():
        y, x, _ = np.moveaxis(result * DEVIATION + MEAN, -1, 0)
        flipped += x[0, 0] > x[0, -1]
        # Positions are linear in the pixel: two inner ones give both ends.
        step_y, step_x = (y[90, 64] - y[40, 64]) / 50, (x[64, 90] - x[64, 40]) / 50
        if step_x < 0:
            x, step_x = x[:, ::-1], -step_x
        top = (y[40, 64] - 40 * step_y) * height
        left = (x[64, 40] - 40 * step_x) * width
        found.append(
            [top, left, top + 128 * step_y * height, left + 128 * step_x * width]
        )
    return np.array(found), flipped / count


def test_random_crops_have_the_area_the_proportions_and_the_flips_of_the_definition():
    crops, flipped = windows(300, 400)
    height, width = crops[:, 2] - crops[:, 0], crops[:, 3] - crops[:, 1]
    area, ratio = height * width / (300 * 400), width / height
    assert area.min() == pytest.approx(0.08, abs=0.03)
    assert area.max() > 0.9
    assert area.max() <= 1.001
    # The height is what is uniform: of a length from a to b, the mean square is
    # (a^2 + ab + b^2) / 3, here with a^2 = 0.08 and b^2 = 0.7 to 1.
    assert 0.33 < area.mean() < 0.4
    assert ratio.min() == pytest.approx(3 / 4, abs=0.03)
    assert ratio.max() == pytest.approx(4 / 3, abs=0.03)
    assert 0.42 < flipped < 0.58
    assert crops[:, :2].min() > -1
    assert crops[:, 2].max() < 301
    assert crops[:, 3].max() < 401
    assert crops[:, 0].max() > 100
    assert crops[:, 1].max() > 100


def test_where_no_crop_fits_the_middle_is_taken():
    # No crop of a strip 1,000 x 20 has 8 % of its area and such proportions.
    crops, _ = windows(20, 1000, count=20)
    middle_of_strip = [(20 - 17 + 1) // 2, (1000 - 17 + 1) // 2]
    np.testing.assert_allclose(crops[:, :2], np.tile(middle_of_strip, (20, 1)), atol=1)
    np.testing.assert_allclose(crops[:, 2:] - crops[:, :2], 17, atol=1)


@pytest.mark.parametrize("training", [False, True])
def test_bytes_of_a_jpeg_and_its_pixels_give_the_same(photo, training):
    prepare = preprocessing("imagenet", 96)
    for i in range(3):
        from_bytes = prepare(PHOTO.read_bytes(), key(5, i), training)
        from_pixels = prepare(photo, key(5, i), training)
        # A crop of a JPEG decodes its edges with other neighbours of the colours.
        assert np.abs(from_bytes - from_pixels).mean() < 0.02


@pytest.mark.parametrize("name", ["small", "imagenet"])
def test_what_is_random_depends_on_the_key_alone(photo, name):
    prepare = preprocessing(name, 48, **({"shift": 4} if name == "small" else {}))
    first = prepare(photo, key(1, 2), True)
    tf.random.set_seed(99)
    np.testing.assert_array_equal(prepare(photo, key(1, 2), True), first)
    others = [prepare(photo, key(1, i), True).numpy() for i in range(3, 9)]
    assert all(np.abs(other - first).max() > 0.1 for other in others)
    np.testing.assert_array_equal(
        prepare(photo, key(1, 2), False), prepare(photo, key(3, 4), False)
    )


@pytest.mark.parametrize("ending", ["png", "bmp", "gif", "jpeg"])
def test_other_formats_and_grey_images_pass_the_imagenet_preprocessing(photo, ending):
    prepare = preprocessing("imagenet", (48, 64))
    for mode in ("RGB", "L"):
        file = io.BytesIO()
        Image.fromarray(photo).convert(mode).save(file, ending)
        pixels = np.asarray(Image.open(file).convert("RGB"))
        for training in (False, True):
            result = prepare(file.getvalue(), key(1, 1), training)
            assert result.shape == (48, 64, 3)
            expected = prepare(pixels, key(1, 1), training)
            assert np.abs(result - expected).mean() < 0.03


def test_images_that_are_not_square_keep_their_proportions(photo):
    result = preprocessing("imagenet", (48, 96))(photo, key(0, 0), False)
    crop = photo[(375 - 218 + 1) // 2 :, (500 - 437 + 1) // 2 :][:218, :437]
    np.testing.assert_allclose(result, normalised(resized(crop, 48, 96)), atol=1e-4)


def test_small_scales_bytes_to_plus_and_minus_one():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    result = preprocessing("small")(image, key(0, 0), False)
    np.testing.assert_allclose(
        result, np.arange(256).reshape(16, 16, 1) / 127.5 - 1, atol=1e-6
    )
    plain = preprocessing("none")(image, key(0, 0), True)
    assert plain.dtype == tf.float32
    np.testing.assert_array_equal(plain, image)


def test_small_flips_half_of_the_images_and_moves_them_by_every_distance():
    image = np.zeros((12, 12, 1), np.uint8)
    image[5, 4] = 255  # a flip makes it column 7
    prepare = preprocessing("small", shift=2)
    results = tf.data.Dataset.range(600).map(
        lambda i: prepare(image, tf.stack([i, i + 1]), True)
    )
    seen = np.array(
        [np.argwhere(x[..., 0] > 0)[0] for x in results.as_numpy_iterator()]
    )
    assert np.bincount(seen[:, 0])[3:8] == pytest.approx(120, abs=45)
    columns = np.bincount(seen[:, 1], minlength=12)
    # Columns 2..6 of the unflipped and 5..9 of the flipped ones.
    expected = np.array([0, 0, 60, 60, 60, 120, 120, 60, 60, 60, 0, 0])
    np.testing.assert_allclose(columns, expected, atol=45)
    for still in (preprocessing("small", flip=False), preprocessing("none")):
        np.testing.assert_array_equal(
            still(image, key(1, 2), True) > 0, still(image, key(1, 2), False) > 0
        )


def test_small_resizes_where_another_size_is_wanted(photo):
    result = preprocessing("small", (30, 40))(photo, key(0, 0), False)
    assert result.shape == (30, 40, 3)
    pillow = Image.fromarray(photo).resize((40, 30), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(result, np.asarray(pillow) / 127.5 - 1, atol=0.02)


def test_mistakes_are_answered_with_the_names_there_are():
    with pytest.raises(ArgumentError, match='Did you mean "imagenet"'):
        preprocessing("imagnet")
    with pytest.raises(ArgumentError, match='Did you mean "flip"'):
        preprocessing("small", fliip=True)
    for size in (0, (1, 2, 3), "32"):
        with pytest.raises(ArgumentError, match="Fix: pass the side in pixels"):
            preprocessing("small", size)
