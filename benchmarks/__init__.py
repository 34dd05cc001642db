"""Benchmarks of both engines, side by side with their peers."""
