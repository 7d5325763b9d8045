"""The commands `lq run` and `lq benchmark`, which need no TensorFlow."""
