"""Tests of sagas without a server: exploration of every fault, stories, a simulated engine, real servers.

What is named here is imported on first use, so that the pytest plugin stays light.
"""

__all__: tuple[str, ...] = ()
