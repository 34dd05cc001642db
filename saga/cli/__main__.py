"""Lets `python -m saga.cli` do what `saga` does."""

from saga.cli import main

main()
