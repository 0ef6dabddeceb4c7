"""Studies beside the paper's tables."""
