"""Holds the workflow classes that were made of saga classes: Temporal's sandbox imports them from here by name."""
