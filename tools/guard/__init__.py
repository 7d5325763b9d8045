"""The guard freezes what the house computes, and compares one commit with another.

    make guard BASE=<commit>                  compare the working tree with a commit
    make guard BASE=<commit> ARGS="--only deploy qat"

Moves and renames must change nothing that a user sees. The guard writes that down as
text: exported files node for node, summaries, reports, integers, outputs, public names
and signatures, messages of errors, help of commands. It does so for a commit and for the
working tree on the same machine, as floats differ between makes of processors, and prints
what is not the same. The exit code is 1 if anything differs, or if a model raised.

How it is made:

- `trees.py` lays out the two trees in temporary folders, each with kernels compiled from
  its own sources. What was frozen of a commit, and kernels, are kept in `.guard/`.
- `freeze.py` runs one process for each part, `worker.py`, which imports the packages of
  the tree that it is given, and the guard of the working tree.
- `parts/` has what is frozen. A module there has `entries()`: functions by name, which
  yield pairs of a field and its text. Each entry becomes a file `<part>/<name>.json`.
- `compare.py` finds the lines that differ.

The rules for a part: only public names are used, as private modules move; seeds and
weights are set (`models.py`); an array is written as shape, dtype, hash and first values
(`texts.py`), a file node for node (`onnx_text.py`, `tflite_text.py`); paths, versions,
addresses and times are taken out. A difference that is meant is read in the table, and
named where the change is described.
"""
