"""The recipes: Larq Zoo's figures, optimizers that build, and QuickNet's two at work."""

import dataclasses
import re

import numpy as np
import pytest
import tf_keras

import larqlite as lq
import larqlite_zoo
from larqlite.errors import ArgumentError
from larqlite_zoo import datasets, training
from larqlite_zoo.training import SGD, Adam, Bop, Cosine, Recipe, TwoOptimizers

# Model, epochs, batch, optimizer: the tables of Larq Zoo 2.4.0.
LARQ_ZOO = {
    "TrainBinaryAlexNet": ("binary_alexnet", 150, 512, Adam),
    "TrainBiRealNet": ("birealnet", 300, 512, Adam),
    "TrainBinaryResNetE18": ("binary_resnet_e18", 120, 1024, Adam),
    "TrainBinaryDenseNet28": ("binary_densenet28", 120, 256, Adam),
    "TrainBinaryDenseNet37": ("binary_densenet37", 120, 192, Adam),
    "TrainBinaryDenseNet37Dilated": ("binary_densenet37_dilated", 80, 256, Adam),
    "TrainBinaryDenseNet45": ("binary_densenet45", 125, 384, Adam),
    "TrainXNORNet": ("xnornet", 100, 1200, Adam),
    "TrainDoReFaNet": ("dorefanet", 90, 256, Adam),
    "TrainQuickNet": ("quicknet", 600, 2048, TwoOptimizers),
    "TrainQuickNetSmall": ("quicknet_small", 600, 2048, TwoOptimizers),
    "TrainQuickNetLarge": ("quicknet_large", 600, 2048, TwoOptimizers),
    "TrainFPResnet18": ("resnet18_fp", 100, 512, SGD),
    "TrainR2BBFP": ("real_to_bin_net_fp", 75, 256, Adam),
    "TrainR2BBAN": ("real_to_bin_net_ban", 75, 256, Adam),
    "TrainR2BBNN": ("real_to_bin_net_bnn", 75, 256, Adam),
    "TrainR2BBNNAlternative": ("real_to_bin_net_bnn", 75, 256, Adam),
    "TrainR2BStrongBaselineBAN": ("strong_baseline_net_ban", 75, 8, Adam),
    "TrainR2BStrongBaselineBNN": ("strong_baseline_net_bnn", 75, 8, Adam),
}
EPSILON = {
    "TrainDoReFaNet": 1e-5,
    "TrainBinaryResNetE18": 1e-8,
    "TrainBinaryDenseNet28": 1e-8,
    "TrainBinaryDenseNet37": 1e-8,
    "TrainBinaryDenseNet37Dilated": 1e-8,
    "TrainBinaryDenseNet45": 1e-8,
}
OURS = {
    "TrainMeliusNet22", "TrainReActNet18", "TrainReActNetA", "TrainAdaBinResNet18",
    "TrainBinaryResNet20", "TrainBinaryVGGSmall",
}  # fmt: skip


def stages_of(recipe):
    return getattr(recipe, "stages", (recipe,))


def test_all_recipes_of_larq_zoo_are_there_and_some_of_our_own():
    several = {"TrainR2B": 4, "TrainR2BStrongBaseline": 2}
    assert len(LARQ_ZOO) + len(several) == 21
    assert {*LARQ_ZOO, *several, *OURS} <= {*training.recipe_names()}
    for name, count in several.items():
        assert len(training.recipe(name).stages) == count


@pytest.mark.parametrize("name", sorted(LARQ_ZOO))
def test_model_epochs_batch_and_optimizer_are_larq_zoos(name):
    recipe = training.recipe(name)
    model, epochs, batch, optimizer = LARQ_ZOO[name]
    assert (recipe.model, recipe.epochs, recipe.batch_size) == (model, epochs, batch)
    assert recipe.dataset == "imagenet"
    assert type(recipe.optimizer) is optimizer
    if optimizer is Adam:
        built = recipe.optimizer.build(10, recipe.epochs)
        assert built.epsilon == EPSILON.get(name, 1e-7)


def test_the_momentum_of_quicknets_and_the_absence_of_it_in_the_float_resnets():
    assert training.recipe("TrainQuickNet").optimizer.other.momentum == 0.9
    assert training.recipe("TrainFPResnet18").optimizer.momentum == 0.0


@pytest.mark.parametrize("name", training.recipe_names())
def test_every_recipe_names_a_model_and_a_dataset_and_its_optimizer_builds(name):
    for stage in stages_of(training.recipe(name)):
        assert stage.model in larqlite_zoo.list_models()
        assert stage.dataset in datasets.names()
        optimizer = stage.optimizer.build(3, stage.epochs)
        assert isinstance(optimizer, tf_keras.optimizers.Optimizer)
        assert "object at" not in str(stage.optimizer)


def test_every_card_names_a_recipe_that_is_there():
    for name in larqlite_zoo.list_models():
        recipe = larqlite_zoo.card(name).recipe
        assert recipe is None or recipe in training.recipe_names(), name


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("TrainQuickNet", "TrainQuickNet"),
        ("train_quick_net", "TrainQuickNet"),
        ("train-quicknet-small", "TrainQuickNetSmall"),
        ("quicknet_large", "TrainQuickNetLarge"),
        ("QuickNetLarge", "TrainQuickNetLarge"),
        ("real_to_binary_net", "TrainR2B"),
        ("reactnet_a", "TrainReActNetA"),
        ("meliusnet22", "TrainMeliusNet22"),
    ],
)
def test_a_recipe_is_found_by_its_name_or_its_models(word, name):
    assert training.recipe(word).name == name


def test_an_unknown_name_gets_near_matches():
    with pytest.raises(ArgumentError, match='Did you mean "TrainBiRealNet"'):
        training.recipe("TrainBiRealNt")
    with pytest.raises(ArgumentError, match='Did you mean "quicknet"'):
        training.recipe("quicknt")


def test_a_registered_model_without_a_recipe_gets_a_plain_one(monkeypatch):
    monkeypatch.setattr(larqlite_zoo._registered_models, "_entries", dict(_entries()))
    paper = larqlite_zoo._card.Paper("None", "https://example.org", 2026)

    @larqlite_zoo._registered_models.register_model(
        "recipeless", summary="None.", paper=paper
    )
    def Recipeless(*, input_shape=None, weights=None, num_classes=1000):
        raise AssertionError("not built")

    recipe = training.recipe("recipeless")
    assert (recipe.name, recipe.model) == ("TrainRecipeless", "recipeless")
    assert recipe.optimizer == Adam(Cosine(1e-3))


def _entries():
    return larqlite_zoo._registered_models._entries


def test_what_is_ours_says_where_it_comes_from():
    for name in OURS - {"TrainBinaryVGGSmall"}:
        assert re.search("[Oo]urs|github", training.recipe_notes(name)), name


@pytest.mark.parametrize(
    "field", ["epochs", "batch_size", "image_size", "train_images", "validation_images"]
)
def test_counts_below_one_are_refused(field):
    flag = field.replace("_", "-")
    with pytest.raises(ArgumentError, match=f"mine: --{flag} 0"):
        Recipe(name="mine", model="quicknet", **{field: 0})


def small_network(kernel_quantizer="ste_sign"):
    """One binary convolution between float layers, the shape of all models here."""
    return tf_keras.Sequential(
        [
            tf_keras.Input((6, 6, 1)),
            tf_keras.layers.Conv2D(4, 3, use_bias=False, name="stem"),
            tf_keras.layers.BatchNormalization(name="norm"),
            lq.layers.QuantConv2D(
                4, 3, input_quantizer="ste_sign", kernel_quantizer=kernel_quantizer,
                kernel_constraint="weight_clip", use_bias=False, name="binary",
            ),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(3, activation="softmax", name="classifier"),
        ]
    )  # fmt: skip


def test_quicknets_optimizers_go_to_binary_kernels_and_to_all_else():
    optimizer = training.recipe("TrainQuickNet").optimizer.build(10, 600)
    model = small_network()
    optimizer.build(model.trainable_variables)
    adam, sgd = re.findall(r"^  (Adam.*|SGD.*)$", repr(optimizer), re.MULTILINE)
    assert adam.startswith("Adam")
    assert re.findall(r"\w+/kernel", adam) == ["binary/kernel"]
    assert sgd.startswith("SGD (default)")
    assert set(re.findall(r"(\w+)/", sgd)) == {"stem", "norm", "classifier"}


def test_quicknets_optimizers_make_the_steps_of_adam_and_of_sgd_with_momentum():
    """Two steps with given gradients, computed beside it in NumPy."""
    two = TwoOptimizers(Adam(training.Constant(0.01)), SGD(training.Constant(0.1), 0.9))
    recipe = training.recipe("TrainQuickNet").optimizer
    two = dataclasses.replace(
        recipe,
        binary=dataclasses.replace(recipe.binary, schedule=two.binary.schedule),
        other=dataclasses.replace(recipe.other, schedule=two.other.schedule),
    )
    model = small_network()
    optimizer = two.build(10, 1)
    variables = model.trainable_variables
    before = [v.numpy() for v in variables]
    gradients = [np.full(v.shape, 0.5, np.float32) for v in variables]
    for _ in range(2):
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
    for variable, first in zip(variables, before, strict=True):
        if "binary" in variable.name:
            # Equal gradients: Adam moves by the learning rate at each step.
            expected = np.clip(np.clip(first - 0.01, -1, 1) - 0.01, -1, 1)
        else:
            # v1 = -0.1 * 0.5; v2 = 0.9 * v1 - 0.1 * 0.5
            expected = first - 0.05 - (0.9 * 0.05 + 0.05)
        np.testing.assert_allclose(variable.numpy(), expected, atol=1e-5)


def test_bop_for_binary_kernels_flips_and_nothing_else():
    two = TwoOptimizers(Bop(threshold=1e-6, gamma=1e-2), SGD(training.Constant(0.1)))
    model = small_network(lq.quantizers.NoOp(precision=1))
    binary = model.get_layer("binary").trainable_weights[0]
    binary.assign(np.sign(binary.numpy()) + (binary.numpy() == 0))
    before = binary.numpy()
    optimizer = two.build(10, 1)
    gradients = [np.full(v.shape, 0.5, np.float32) for v in model.trainable_variables]
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    # A positive gradient turns +1 into -1 and leaves -1 as it is.
    assert (before == 1).any()
    np.testing.assert_array_equal(binary.numpy(), np.full_like(before, -1))


def test_the_first_images_are_those_of_the_file_and_are_shuffled_within():
    source = datasets.ArraySource(
        np.arange(40, dtype=np.uint8).reshape(10, 2, 2), np.arange(10)
    )
    first = source.first(4)
    assert first.size == 4
    in_order = [int(first.load(item)[1]) for item in first.order(None)]
    assert in_order == [0, 1, 2, 3]
    epochs = [
        [int(first.load(item)[1]) for item in first.order(np.int64([1, epoch]))]
        for epoch in range(6)
    ]
    assert all(sorted(epoch) == in_order for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    image, _ = first.load(next(iter(first.order(None))))
    np.testing.assert_array_equal(image[..., 0], [[0, 1], [2, 3]])
    with pytest.raises(ArgumentError, match="from 1 to 10"):
        source.first(11)
