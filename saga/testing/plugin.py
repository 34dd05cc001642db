"""The pytest plugin: fixtures that make engines for tests. It loads with every pytest run, so it imports little."""

__all__: tuple[str, ...] = ()
