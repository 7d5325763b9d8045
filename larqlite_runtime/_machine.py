"""What a process may use of its machine: cores, and the cache that each of them has."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")
_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
# Where a machine does not tell; the smallest that processors of this kind have.
USUAL_CACHE = 512 << 10
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def available_cores() -> int:
    """Physical cores that this process may keep busy.

    Those of the processors that it may run on, where two threads of one core count once;
    no more than its control group has time for.
    """
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cores = set()
    for cpu in os.sched_getaffinity(0):
        siblings = _text(_CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list")
        cores.add(siblings or str(cpu))
    count = len(cores) or 1
    share = processor_share(_GROUPS, _OWN_GROUPS)
    return count if share is None else max(1, min(count, math.ceil(share)))


def processor_share(groups: Path, own: Path) -> float | None:
    """Processors' worth of time that a control group and those above it may use.

    Args:
        groups: where the file system of control groups is mounted.
        own: the file that names the group of the process.

    Returns:
        The least of them, or None without a limit.
    """
    limits = []
    for line in (_text(own) or "").splitlines():
        number, names, path = (*line.split(":", 2), "", "")[:3]
        if number == "0" and not names:
            root, read = groups, _share_of_unified
        elif "cpu" in names.split(","):
            root, read = groups / "cpu", _share_of_controller
        else:
            continue
        folder = root / path.lstrip("/")
        # A container sees its own group as the root.
        for place in (folder, *folder.parents):
            if place == root.parent:
                break
            limits.append(read(place))
    return min((limit for limit in limits if limit is not None), default=None)


def _share_of_unified(folder: Path) -> float | None:
    words = (_text(folder / "cpu.max") or "").split()
    return _share(*words) if len(words) == 2 else None


def _share_of_controller(folder: Path) -> float | None:
    quota = _text(folder / "cpu.cfs_quota_us") or "-1"
    return _share(quota, _text(folder / "cpu.cfs_period_us") or "0")


def _share(quota: str, period: str) -> float | None:
    if not quota.isdecimal() or not period.isdecimal() or not int(period):
        return None
    return int(quota) / int(period)


@functools.cache
def cache_of_a_core() -> int:
    """Bytes of second-level cache for each core; `USUAL_CACHE` where nobody tells."""
    return cache_in(_CPUS) or _cache_of_system() or USUAL_CACHE


def cache_in(cpus: Path) -> int | None:
    """Bytes of second-level cache for each core, as Linux tells of its first processor.

    Args:
        cpus: the folder of its processors.
    """
    for folder in sorted((cpus / "cpu0" / "cache").glob("index*")):
        if _text(folder / "level") != "2":
            continue
        size = _text(folder / "size") or ""
        if size[:-1].isdecimal() and size[-1:] in _UNITS:
            cores = _numbers(_text(folder / "shared_cpu_list") or "0")
            siblings = _text(cpus / "cpu0" / "topology" / "thread_siblings_list")
            sharing = max(1, len(cores) // len(_numbers(siblings or "0")))
            return int(size[:-1]) * _UNITS[size[-1]] // sharing
    return None


def _numbers(text: str) -> list[int]:
    """The numbers of a list such as `0-3,8`."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _cache_of_system() -> int | None:
    try:
        return os.sysconf("SC_LEVEL2_CACHE_SIZE") or None
    except (AttributeError, OSError, ValueError):
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
