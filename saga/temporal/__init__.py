"""Sagas on Temporal: the same classes, the same handle, the same outcomes."""

from saga.temporal._engine import TemporalEngine
from saga.temporal._plugin import SagaPlugin

__all__ = ("SagaPlugin", "TemporalEngine")
