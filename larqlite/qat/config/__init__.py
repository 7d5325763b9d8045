"""Which tensors of a layer are quantized, and by what."""
