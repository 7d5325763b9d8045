"""`export(model, path)`: from a Keras model to a file with packed weights."""

from larqlite.deploy.exporter._export import export, plan_of

__all__ = ["export", "plan_of"]
