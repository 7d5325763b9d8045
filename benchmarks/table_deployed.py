"""Rows of trained networks: larqlite_runtime against other engines, batch 1."""

from inputs import STAGES
from rows import Row, Side

# Each stage has as many products: 9 x 56 x 56 x 64 x 64; one look at the peak has more.
PRODUCTS = 9 * 56 * 56 * 64 * 64
PEAK_PRODUCTS = 20 * 1000 * 12 * 512
RUNTIME = {"engine": "runtime"}
LCE = {"engine": "lce"}
BIREALNET = "BiRealNet (224x224)"
# How much faster than Larq Compute Engine each instruction set has to be.
LAYER_GOALS = {"avx512": 8, "avx2": 3}
NETWORK_GOALS = {"avx512": 7, "avx2": 2.5}
# A border of zeros has no bit of its own; one of +1 has.
BORDERS = {"zeros": "0", "ones": "1"}


def _layer(stage: str, border: str, isa: str) -> Row:
    network = f"layer:{stage}:{BORDERS[border]}"
    # There is nothing in such a file that XNNPACK computes.
    other = {**LCE, "network": network, "xnnpack": False}
    return Row(
        f"layer_{stage}_{border}_{isa}",
        f"3x3 binary layer {stage}, borders of {border}, {isa}, against LCE",
        "deployed",
        Side("larqlite", {**RUNTIME, "network": network, "isa": isa}),
        Side("lce", other),
        reach=1 / LAYER_GOALS[isa],
        steps=100,
    )


def _network(
    name: str, what: str, network: str, ours: dict, other: Side, reach: float, **row
) -> Row:
    row = {"steps": 10, "agree": None, **row}
    return Row(
        name,
        what,
        "deployed",
        Side("larqlite", {**RUNTIME, "network": network, **ours}),
        other,
        reach,
        **row,
    )


def _against_lce(
    network: str, reach: float, isa: str | None = None, xnnpack: bool = True
) -> Row:
    ours = {} if isa is None else {"isa": isa}
    name = "_".join(filter(None, (f"lce_{network}", isa, "" if xnnpack else "tflite")))
    what = f"{network} (224x224)" + (f", {isa}" if isa else "")
    what += ", against LCE with XNNPACK" if xnnpack else ", against LCE without XNNPACK"
    other = Side("lce", {**LCE, "network": network, "xnnpack": xnnpack})
    # A normalized value that is 0 but for its last place may get another sign, and in an
    # untrained network that changes most of what lies behind it: not for every image.
    return _network(name, what, network, ours, other, reach, agree=1e-3, share=0.3)


def _birealnet(
    name: str, what: str, ours: dict, other: Side, reach: float, **row
) -> Row:
    return _network(
        f"birealnet_{name}",
        f"{BIREALNET}, {what}",
        "BiRealNet",
        ours,
        other,
        reach,
        **row,
    )


def _sizes(name: str, what: str, workload: str, other: Side) -> Row:
    return Row(
        name,
        f"{what} {BIREALNET}",
        workload,
        Side("larqlite", {**RUNTIME, "network": "BiRealNet"}),
        other,
        reach=1.0,
        rounds=3,
        agree=None,
        figure="bytes",
    )


INT8 = Side("larqlite", {"engine": "int8", "network": "float_twin"})
FLOAT = Side("larqlite", {"engine": "tensorflow", "network": "float_twin"})


def _accumulate(stage: str) -> Row:
    isa = "avx512"
    return Row(
        f"accumulate_{stage}_{isa}",
        f"3x3 binary layer {stage}, sums only, {isa}, against its peak",
        "accumulate",
        Side("larqlite", {"stage": stage, "isa": isa}),
        Side("larqlite", {"stage": stage, "isa": isa, "peak": True}),
        # 70 % of the peak, which counts more products than the layer has.
        reach=PRODUCTS / PEAK_PRODUCTS / 0.7,
        steps=200,
        agree=None,
    )


DEPLOYED = (
    *(_accumulate(stage) for stage in STAGES),
    *(
        _layer(stage, border, isa)
        for stage in STAGES
        for border in BORDERS
        for isa in LAYER_GOALS
    ),
    *(_against_lce("BiRealNet", 1 / goal, isa) for isa, goal in NETWORK_GOALS.items()),
    _against_lce("BiRealNet", 1 / NETWORK_GOALS["avx512"], "avx512", xnnpack=False),
    _against_lce("QuickNet", 1 / 5),
    _against_lce("BinaryResNetE18", 1 / 5),
    _birealnet("int8", "against int8 TFLite of the same shape", {}, INT8, 1 / 1.6),
    _birealnet("float", "against TensorFlow's float graph", {}, FLOAT, 1 / 10),
    _sizes(
        "lce_file_BiRealNet",
        "file of",
        "file_size",
        Side("lce", {**LCE, "network": "BiRealNet"}),
    ),
    _sizes(
        "int8_memory_BiRealNet",
        "resident memory of a process that runs",
        "resident_memory",
        INT8,
    ),
)
