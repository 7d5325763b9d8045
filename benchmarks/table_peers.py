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
        "default",
        "the other side in its default precision",
        0.85,
        theirs={"precision": "default"},
        agree=None,
    ),
)
