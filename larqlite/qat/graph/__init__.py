"""A model as a graph that passes edit, and the model that is built from it."""
