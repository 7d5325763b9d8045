"""What is timed: each module has `prepare(library, **options) -> Workload`."""
