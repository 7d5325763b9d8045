"""What pytest leaves alone here: the script that needs an environment with Larq."""

collect_ignore = ["make_larq_summary_golden.py"]
