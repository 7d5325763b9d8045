"""How well a model does on the validation images of a dataset."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError, MissingFileError
from larqlite.internal import bar
from larqlite_runtime.notebook import ShownTable, ShowsTables
from larqlite_zoo import _registered_models, datasets
from larqlite_zoo.datasets.internal import validation_batches
from larqlite_zoo.training import _outputs as outputs
from larqlite_zoo.training._images import chosen, images_of
from larqlite_zoo.training._model import ARGUMENTS, arguments_of
from larqlite_zoo.training._recipe import Recipe
from larqlite_zoo.training._run import dtype_policy


@dataclass(frozen=True)
class Evaluation(ShowsTables):
    """What was measured.

    Attributes:
        model: the registered name, or the path, that was asked for.
        dataset: its name.
        weights: the weight file, the word for published weights, or the saved model.
        images: number of validation images.
        top1: percent of them whose label has the highest probability.
        top5: percent whose label is among the five highest.
        loss: mean cross-entropy, in nats.
    """

    model: str
    dataset: str
    weights: str
    images: int
    top1: float
    top5: float
    loss: float

    def __str__(self) -> str:
        return (
            f"{self.model} on {self.images:,} validation images of {self.dataset}: "
            f"top-1 {self.top1:.2f} %, top-5 {self.top5:.2f} %, loss {self.loss:.4f} "
            f"({self.weights})"
        )

    def _shown(self) -> list[ShownTable]:
        header = ("model", "dataset", "images", "top-1 (%)", "top-5 (%)", "loss")
        row = (
            self.model,
            self.dataset,
            f"{self.images:,}",
            f"{self.top1:.2f}",
            f"{self.top5:.2f}",
            f"{self.loss:.4f}",
        )
        return [ShownTable("", header, [row], [self.weights])]


def evaluate(
    model: str | Path | tf_keras.Model,
    dataset: str | datasets.Dataset | None = None,
    *,
    weights: str | Path | None = None,
    folder: str | Path | None = None,
    image_size: int | None = None,
    preprocessing: str | None = None,
    images: int | None = None,
    batch_size: int = 128,
    precision: str = "float32",
    safe_mode: bool = True,
) -> Evaluation:
    """Measures accuracy and loss on the validation images.

    Args:
        model: a registered name; or a model; or the path of a saved one, or the folder
            of a finished run.
        dataset: a name of `datasets.names()`, or a dataset; a run's folder knows its own.
        weights: of a registered model: a file, a run's folder, or the word for published
            weights, which is the default where there are some.
        folder: where the dataset lies.
        image_size: height and width that the model sees; by default its own.
        preprocessing: how images become numbers; by default as the dataset says.
        images: use only so many, of each class its part; by default all.
        batch_size: images of one step; does not change the result.
        precision: dtype policy of a registered model.
        safe_mode: of a saved model: False runs code that its file carries.

    Raises:
        ArgumentError: a name that does not exist, no weights, or a model that does not
            fit the images or the classes.
        MissingFileError: a path at which there is nothing.

    Example:
        >>> from larqlite_zoo import training
        >>> model = tf_keras.Sequential(
        ...     [tf_keras.layers.Flatten(input_shape=(28, 28, 1)),
        ...      tf_keras.layers.Dense(10, activation="softmax",
        ...                            kernel_initializer="zeros")])
        >>> result = training.evaluate(model, "fashion_mnist_subset", images=100)
        >>> round(result.loss, 4), result.images  # the loss is log(10)
        (2.3026, 100)
    """
    settings = Recipe(
        name="lqz evaluate",
        model="",
        dataset=getattr(dataset, "name", dataset) or "",
        image_size=image_size,
        preprocessing=preprocessing,
        validation_images=images,
        batch_size=batch_size,
        precision=precision,
    )
    label = model.name if isinstance(model, tf_keras.Model) else str(model)
    saved = None
    if not isinstance(model, tf_keras.Model):
        config = Path(label) / outputs.CONFIG
        if config.exists():
            settings, saved = _of_run(settings, config)
        else:
            saved = _saved_model(label)
        if saved is None:
            name = _registered_models.find(label).name
            config = Path(weights or label) / outputs.CONFIG
            if config.exists():  # a run's folder knows its dataset too
                settings, weights = _of_run(settings, config)
            settings = replace(settings, model=name)
            weights = _weights(name, weights)
        else:
            weights = saved
    if isinstance(dataset, datasets.Dataset):
        data = dataset
    elif settings.dataset:
        data = datasets.load(settings.dataset, folder=folder)
    else:
        raise ArgumentError(
            f"{label}: on which images?\n  Fix: --dataset, one of "
            f"{', '.join(datasets.names())}."
        )
    data = chosen(data, settings)
    with dtype_policy(settings.precision):
        if settings.model:
            model = _registered_models.get(
                settings.model,
                input_shape=images_of(settings, data).shape,
                num_classes=data.num_classes,
                weights=weights,
                **arguments_of(settings),
            )
        else:
            if saved is not None:
                model = lq.models.load(saved, compile=False, safe_mode=safe_mode)
        size = _size_for(model, settings, data)
        _check_classes(model, data)
        prepare = images_of(settings, data, size).preprocessing
        loss, top1, top5 = _measure(model, settings, data, prepare)
    return Evaluation(
        model=label,
        dataset=data.name,
        weights="" if weights is None else str(weights),
        images=data.validation.size,
        top1=100 * top1,
        top5=100 * top5,
        loss=loss,
    )


def _measure(model: tf_keras.Model, settings: Recipe, data, prepare) -> list[float]:
    batches = validation_batches(
        data.validation, prepare, batch_size=settings.batch_size
    )
    # Another model of the same layers: how the user's own is compiled stays as it is.
    model = tf_keras.Model(model.inputs, model.outputs)
    model.compile(
        loss="sparse_categorical_crossentropy",
        metrics=[
            tf_keras.metrics.SparseCategoricalAccuracy("accuracy"),
            tf_keras.metrics.SparseTopKCategoricalAccuracy(5, "top_5_accuracy"),
        ],
    )
    with bar("evaluate", unit="batches") as shown:
        step = tf_keras.callbacks.LambdaCallback(
            on_test_batch_end=lambda number, logs: shown.advance()
        )
        return model.evaluate(batches, verbose=0, callbacks=[step])


def _saved_model(path: str) -> Path | None:
    """The file of a saved model, or None where the words are a registered name."""
    file = Path(path)
    if file.exists():
        return file
    if file.suffix in (".keras", ".h5", ".hdf5") or len(file.parts) > 1:
        raise MissingFileError(
            f"{path}: there is no such file or folder.\n"
            "  Fix: a saved model, the folder of a finished run, or a name of `lqz list`."
        )
    return None


def _of_run(settings: Recipe, config: Path) -> tuple[Recipe, Path]:
    """What the run was trained with, where nothing else was asked for; and its weights.

    A model that is registered is built anew: Keras takes long to read a `.keras` file.
    """
    there = json.loads(config.read_text(encoding="utf-8"))["recipe"]
    names = ("dataset", "image_size", "preprocessing", "validation_images")
    found = {name: getattr(settings, name) or there.get(name) for name in names}
    if settings.dataset not in ("", there["dataset"]):
        found["preprocessing"] = settings.preprocessing
        found["validation_images"] = settings.validation_images
    if there["model"] not in _registered_models.list_models():
        saved = _only(config.parent, "*.keras", "a saved model")
        return replace(settings, **found), saved
    saved = _only(config.parent, "*_weights.h5", "a weight file")
    found |= {"model": there["model"], "precision": there["precision"]}
    found |= {name: there.get(name) for name in ARGUMENTS}
    return replace(settings, **found), saved


def _weights(name: str, weights) -> str:
    """The weights to load into a registered model."""
    words = [
        file.dataset
        for file in _registered_models.find(name).weights
        if file.include_top
    ]
    if weights is None:
        if not words:
            raise ArgumentError(
                f"{name}: no weights of it are published, and none were given.\n"
                "  Fix: --weights FILE, or the folder of a run of `lqz train`."
            )
        return words[0]
    if Path(weights).is_dir():
        return str(_only(Path(weights), "*_weights.h5", "a weight file"))
    return str(weights)


def _only(folder: Path, pattern: str, what: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) == 1:
        return found[0]
    raise MissingFileError(
        f"{folder}: {len(found)} files are named {pattern}, not one.\n"
        f"  Fix: let the run finish, which leaves {what} there; or name the file."
    )


def _size_for(model: tf_keras.Model, settings: Recipe, data) -> tuple[int, int]:
    """Height and width of the images for a model."""
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise ArgumentError(
            f'"{model.name}" takes {shape}.\n  Fix: a model of images, '
            "(batch, height, width, channels)."
        )
    _, height, width, channels = shape
    here = images_of(settings, data, (height or 1, width or 1)).shape[2]
    if channels not in (None, here):
        raise ArgumentError(
            f'"{model.name}" takes images of {height} x {width} x {channels}, those of '
            f"{data.name} have {here} channels.\n"
            "  Fix: another dataset, or a model for images of these channels."
        )
    asked = settings.image_size
    if asked and (height, width) != (asked, asked) and None not in (height, width):
        raise ArgumentError(
            f'"{model.name}" takes images of {height} x {width}, not of '
            f"{settings.image_size}.\n  Fix: leave --image-size out."
        )
    if None not in (height, width):
        return height, width
    if asked is None and data.image_shape is None:
        raise ArgumentError(
            f'"{model.name}" takes images of any size, and those of {data.name} differ.\n'
            "  Fix: --image-size, the height and width that it was trained on."
        )
    return (asked, asked) if asked else data.image_shape[:2]


def _check_classes(model: tf_keras.Model, data) -> None:
    if model.output_shape[1:] != (data.num_classes,):
        raise ArgumentError(
            f'"{model.name}" gives {model.output_shape}, but {data.name} has '
            f"{data.num_classes} classes.\n  Fix: the dataset the model was trained on."
        )
