"""The models whose quantized structures are compared with the reference's."""

import tf_keras

layers = tf_keras.layers


def chain(*parts, shape=(8, 8, 3)):
    x = inputs = tf_keras.Input(shape, name="image")
    for part in parts:
        x = part(x)
    return tf_keras.Model(inputs, x)


def convolved(*parts):
    return chain(layers.Conv2D(4, 3, name="conv"), *parts)


def normalization():
    return layers.BatchNormalization(name="bn")


def relu(**kwargs):
    return layers.ReLU(name="relu", **kwargs)


def joined(count, feeder=None, shape=(8, 8, 3)):
    """`count` layers in parallel, concatenated."""
    inputs = tf_keras.Input(shape, name="image")
    feeder = feeder or (lambda i: layers.Conv2D(2, 3, padding="same", name=f"conv_{i}"))
    parts = [feeder(i)(inputs) for i in range(count)]
    joint = layers.Concatenate(name="joint")(parts)
    return tf_keras.Model(inputs, layers.Conv2D(3, 1, name="last")(joint))


def concatenate_of_relus():
    def feeder(i):
        def parts(x):
            x = layers.Conv2D(2, 3, padding="same", name=f"conv_{i}")(x)
            x = layers.BatchNormalization(name=f"bn_{i}")(x)
            return layers.ReLU(name=f"relu_{i}")(x)

        return parts

    return joined(3, feeder)


def nested_concatenate():
    inputs = tf_keras.Input((8, 8, 3), name="image")
    parts = [
        layers.Conv2D(2, 3, padding="same", activation="relu", name=f"conv_{i}")(inputs)
        for i in range(4)
    ]
    inner = layers.Concatenate(name="inner")(parts[:2])
    outer = layers.Concatenate(name="outer")([inner, *parts[2:]])
    return tf_keras.Model(inputs, layers.Conv2D(3, 1, name="last")(outer))


def dense_block():
    """Features that are read again and again, as in DenseNet."""
    inputs = tf_keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="stem")(inputs)
    for i in range(3):
        y = layers.Conv2D(2, 3, padding="same", name=f"conv_{i}")(x)
        y = layers.BatchNormalization(name=f"bn_{i}")(y)
        y = layers.ReLU(name=f"relu_{i}")(y)
        x = layers.Concatenate(name=f"joint_{i}")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return tf_keras.Model(inputs, layers.Dense(5, activation="softmax", name="top")(x))


def residual(last):
    inputs = tf_keras.Input((8, 8, 3), name="image")
    a = layers.Conv2D(4, 3, padding="same", name="conv_a")(inputs)
    a = layers.BatchNormalization(name="bn_a")(a)
    b = layers.Conv2D(4, 1, name="conv_b")(inputs)
    x = layers.Add(name="add")([a, b])
    return tf_keras.Model(inputs, last(x) if last else x)


def transfer():
    """A frozen base with a head of one's own, in one functional model."""
    base = tf_keras.applications.MobileNet(
        (32, 32, 3), alpha=0.25, weights=None, include_top=False
    )
    base.trainable = False
    x = layers.GlobalAveragePooling2D(name="pool")(base.output)
    x = layers.Dropout(0.2, name="dropout")(x)
    x = layers.Dense(5, activation="softmax", name="top")(x)
    return tf_keras.Model(base.input, x)


def guide():
    return tf_keras.Sequential(
        [
            layers.Dense(20, input_shape=(20,), name="dense"),
            layers.Flatten(name="flatten"),
        ]
    )


def functions():
    """A convolution with each activation function that the reference knows."""
    names = ("linear", "relu", "swish", "softmax", "sigmoid", "tanh", "gelu")
    return chain(*(layers.Conv2D(3, 1, activation=n, name=f"conv_{n}") for n in names))


def without_weights():
    return chain(
        layers.ZeroPadding2D(name="padding"),
        layers.Cropping2D(1, name="cropping"),
        layers.UpSampling2D(name="up"),
        layers.AveragePooling2D(name="average"),
        layers.MaxPooling2D(name="largest"),
        layers.LeakyReLU(name="leaky"),
        layers.Permute((2, 1, 3), name="permuted"),
        layers.Activation("relu", name="again"),
        layers.SpatialDropout2D(0.1, name="dropped"),
        layers.Reshape((4, -1), name="reshaped"),
        layers.GlobalAveragePooling1D(name="pool"),
        layers.Dropout(0.1, name="dropout"),
        layers.Flatten(name="flatten"),
        layers.Softmax(name="softmax"),
    )


MODELS = {
    "guide": guide,
    "conv_bn_relu": lambda: convolved(normalization(), relu()),
    "conv_bn_relu6": lambda: convolved(normalization(), relu(max_value=6.0)),
    "conv_bn_activation": lambda: convolved(
        normalization(), layers.Activation("relu", name="relu")
    ),
    "conv_bn": lambda: convolved(normalization()),
    "conv_bn_conv": lambda: convolved(
        normalization(), layers.Conv2D(2, 1, name="last")
    ),
    "conv_relu": lambda: convolved(relu()),
    "conv_activation": lambda: convolved(layers.Activation("relu", name="relu")),
    "conv_activation_softmax": lambda: convolved(
        layers.Activation("softmax", name="softmax")
    ),
    "depthwise_bn_relu": lambda: chain(
        layers.DepthwiseConv2D(3, name="conv"), normalization(), relu()
    ),
    "dense_bn_relu": lambda: chain(
        layers.Dense(4, name="dense"), normalization(), relu(), shape=(6,)
    ),
    "dense_bn": lambda: chain(
        layers.Dense(4, name="dense"), normalization(), shape=(6,)
    ),
    "dense_relu": lambda: chain(layers.Dense(4, name="dense"), relu(), shape=(6,)),
    "separable_bn_relu": lambda: chain(
        layers.SeparableConv2D(4, 3, name="conv"), normalization(), relu()
    ),
    "transposed": lambda: chain(
        layers.Conv2DTranspose(3, 3, activation="relu", name="conv")
    ),
    "functions": functions,
    "without_weights": without_weights,
    "add": lambda: residual(None),
    "add_relu": lambda: residual(relu()),
    "add_activation": lambda: residual(layers.Activation("relu", name="relu")),
    **{f"concatenate_{n}": (lambda n=n: joined(n)) for n in range(2, 7)},
    "concatenate_of_relus": concatenate_of_relus,
    "nested_concatenate": nested_concatenate,
    "dense_block": dense_block,
    "transfer": transfer,
    "mobilenet_v2": lambda: tf_keras.applications.MobileNetV2(
        (32, 32, 3), weights=None, classes=10
    ),
    "resnet50": lambda: tf_keras.applications.ResNet50(
        input_shape=(32, 32, 3), weights=None, classes=10
    ),
}
