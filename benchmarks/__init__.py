"""Benchmarks of the embedded engine, side by side with its peers."""
