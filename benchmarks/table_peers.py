"""Rows of trained networks against engines for bits and for 8 bits, batch 1."""

from inputs import STAGES
from rows import Row, Side
from table_deployed import BIREALNET, BORDERS, RUNTIME

OPENVINO = {"engine": "openvino"}
# The largest ratio to OpenVINO's time that is good enough.
LAYER_REACH = {"avx512": {"zeros": 0.85, "ones": 0.90}, "avx2": 0.80}
CHAIN_REACH = {"avx512": 0.90, "avx2": 0.80}
KINDS = {"layer": "3x3 binary layer", "chain": "six 3x3 binary layers"}
# A value that is 0 but for its last place may get another sign behind a float stem, and
# that changes most of what lies behind it: not for every image.
SOME_FLIP = {"agree": 1e-3, "share": 0.3}
# Engines that compute the same shapes with 8 bits, each held to its own float network.
ROUNDED = {"agree": 0.1, "share": 0.7}
INT8 = {
    "ort_int8": ("larqlite", "ONNX Runtime's int8", {"engine": "ort_int8"}),
    "litert": ("larqlite", "int8 TFLite", {"engine": "int8"}),
}
LAYER_INT8_REACH = 0.35
# Dense layers with inputs of 8 bits: whose kernel in how many bits, and the largest ratio
# for one vector and for many.
DENSE = {
    "ort_int8": (*INT8["ort_int8"], {"ternary": (0.45, 1.0), "sign": (0.45, 0.7)}),
    "ort_2bits": (
        "larqlite",
        "ONNX Runtime's MatMulNBits of 2 bits",
        {"engine": "ort_2bits"},
        {"ternary": (0.5, 0.5), "sign": (0.5, 0.4)},
    ),
    "ort_4bits": (
        "larqlite",
        "ONNX Runtime's MatMulNBits of 4 bits",
        {"engine": "ort_4bits"},
        {"ternary": (0.5, 0.5), "sign": (0.5, 0.4)},
    ),
    "ggml": (
        "ggml",
        "ggml's TQ2_0",
        {"engine": "ggml", "values": "TQ2_0"},
        {"ternary": (0.5, 0.35)},
    ),
}
BATCHES = (1, 32, 256)


def _against_openvino(
    name: str, what: str, network: str, reach: float, threads: int = 1, **row
) -> Row:
    """The same network with as many threads on both sides; more than one by the clock."""
    ours = {**RUNTIME, "network": network, **row.pop("ours", {})}
    theirs = {**OPENVINO, "network": network, **row.pop("theirs", {})}
    if threads > 1:
        name, what = f"{name}_{threads}threads", f"{what}, {threads} threads"
        ours, theirs = ({**side, "threads": threads} for side in (ours, theirs))
        row["figure"] = "wall"
    return Row(
        f"openvino_{name}",
        f"{what}, against OpenVINO",
        "deployed",
        Side("larqlite", ours),
        Side("openvino", theirs),
        reach,
        **row,
    )


def _layers(kind: str, stage: str, border: str, isa: str, threads: int = 1) -> Row:
    reach = {"layer": LAYER_REACH, "chain": CHAIN_REACH}[kind][isa]
    return _against_openvino(
        f"{kind}_{stage}_{border}_{isa}",
        f"{KINDS[kind]} {stage}, borders of {border}, {isa}",
        f"{kind}:{stage}:{BORDERS[border]}",
        reach[border] if isinstance(reach, dict) else reach,
        threads,
        ours={"isa": isa},
        theirs={} if isa == "avx512" else {"isa": isa},
        steps=100 if kind == "layer" else 30,
    )


def _birealnet(name: str, what: str, reach: float, **row) -> Row:
    return _against_openvino(
        f"BiRealNet_{name}", f"{BIREALNET}, {what}", "BiRealNet", reach, steps=10, **row
    )


def _layer_int8(stage: str, peer: str) -> Row:
    library, whose, options = INT8[peer]
    return Row(
        f"{peer}_layer_{stage}",
        f"3x3 binary layer {stage}, against {whose} of the same shape",
        "deployed",
        Side("larqlite", {**RUNTIME, "network": f"layer:{stage}:1"}),
        Side(library, {**options, "network": f"float_layer:{stage}"}),
        reach=LAYER_INT8_REACH,
        steps=30,
        **ROUNDED,
    )


def _dense(kernel: str, batch: int, peer: str) -> Row:
    library, whose, options, reach = DENSE[peer]
    network = f"dense:{kernel}:{batch}"
    return Row(
        f"{peer}_dense_{kernel}_{batch}",
        f"{batch}x2048x2048, 8-bit inputs, {kernel} kernel, against {whose}",
        "deployed",
        Side("larqlite", {**RUNTIME, "network": network}),
        Side(library, {**options, "network": network}),
        reach=reach[kernel][batch > 1],
        steps=max(2, 200 // batch),
        **ROUNDED,
    )


PEERS = (
    *(
        _layers("layer", stage, border, isa)
        for isa in LAYER_REACH
        for stage in STAGES
        for border in BORDERS
    ),
    *(
        _layers("layer", stage, border, "avx512", threads=2)
        for stage in STAGES
        for border in BORDERS
    ),
    *(
        _layers("chain", stage, border, isa)
        for isa in CHAIN_REACH
        for stage in STAGES
        for border in BORDERS
    ),
    _birealnet("f32", "float32", 0.90, **SOME_FLIP),
    _birealnet("f32", "float32", 0.90, threads=2, **SOME_FLIP),
    _birealnet(
        "avx2",
        "float32, avx2",
        0.80,
        ours={"isa": "avx2"},
        theirs={"isa": "avx2"},
        **SOME_FLIP,
    ),
    _birealnet(
        "bf16",
        "bfloat16, the default there",
        0.85,
        ours={"precision": "bf16"},
        theirs={"precision": "default"},
        # Half as many bits: every answer moves, and none by much more than a tenth.
        agree=0.3,
        share=0.9,
    ),
    *(_layer_int8(stage, peer) for peer in INT8 for stage in STAGES),
    *(
        _dense(kernel, batch, peer)
        for peer, settings in DENSE.items()
        for kernel in settings[-1]
        for batch in BATCHES
    ),
)
