"""What the words after `lq` mean: one dataclass a command, whose fields are its flags.

Nothing here imports TensorFlow, so a mistake in the words is answered at once; `run()` of
a dataclass imports what does the work.
"""
