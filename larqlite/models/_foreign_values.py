"""What an HDF5 file takes from other files: links, external storage, virtual datasets."""

from __future__ import annotations

import h5py


def foreign_values(file: h5py.File) -> list[str]:
    """A phrase for each place whose values stand in another file.

    HDF5 opens that file by itself when the values are read. Links are looked at and not
    followed, so nothing is opened here.

    Args:
        file: an open file.
    """
    found: list[str] = []
    pending, seen = [file["/"]], set()
    while pending:
        group = pending.pop()
        if group.id in seen:
            continue
        seen.add(group.id)
        for name in group:
            place = f"{group.name.rstrip('/')}/{name}"
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                found.append(f"{place} (reads the file {link.filename!r})")
            elif isinstance(
                link, h5py.HardLink
            ):  # what a soft one leads to has one too
                item = group[name]
                if isinstance(item, h5py.Group):
                    pending.append(item)
                elif isinstance(item, h5py.Dataset):
                    found += [
                        f"{place} (reads the file {source!r})" for source in _of(item)
                    ]
    return found


def _of(dataset: h5py.Dataset) -> list[str]:
    """The other files that hold the values of a dataset."""
    files = [name for name, *_ in dataset.external or ()]
    if dataset.is_virtual:
        files += [source.file_name for source in dataset.virtual_sources()]
    return [name for name in dict.fromkeys(files) if name != "."]
