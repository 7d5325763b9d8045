"""`export(model, path)`: from a Keras model to a file with packed weights."""
