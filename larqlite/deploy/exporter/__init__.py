"""`export(model, path)`: from a Keras model to a file with packed weights."""

from larqlite.deploy.exporter._export import export, finished_graph

__all__ = ["export", "finished_graph"]
