"""The layers of a quantization-aware model: a wrapper around each layer, and those between."""
