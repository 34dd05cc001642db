"""Sagas on Temporal: the same classes, the same handle, the same outcomes."""

from saga.temporal._engine import TemporalEngine
from saga.temporal._history import history_of, journal_of
from saga.temporal._plugin import SagaPlugin
from saga.temporal._recover import recover

__all__ = ("SagaPlugin", "TemporalEngine", "history_of", "journal_of", "recover")
