"""Export a trained network with its weights packed at their bit width."""

from larqlite.deploy._registry import activation_converter, converter

__all__ = ["activation_converter", "converter"]
