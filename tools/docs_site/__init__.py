"""The documentation as a site: its first picture, its outputs, and how it looks to readers."""
