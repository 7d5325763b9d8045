"""Tests of the runtime: files, shapes, plans, kernels, whole models."""
