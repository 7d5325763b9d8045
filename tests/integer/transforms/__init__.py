"""Tests of the transforms of float models."""
