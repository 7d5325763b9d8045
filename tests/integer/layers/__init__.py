"""Tests of the layers of integer models."""
