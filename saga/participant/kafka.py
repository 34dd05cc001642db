"""Kafka as the broker of relay and consumer, on aiokafka."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

try:
    from saga.participant import _aiokafka as client
except ModuleNotFoundError as error:  # pragma: no cover - told to whoever has not installed it
    if error.name != "aiokafka":
        raise
    from saga.errors import MissingExtraError

    raise MissingExtraError("Kafka needs its client: pip install 'sagakit[kafka]'") from error
from saga.participant._kafka_publisher import KafkaPublisher
from saga.participant._kafka_subscription import KafkaSubscription

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Collection

    from saga.participant._broker import Assignments, Publisher, Subscription

__all__ = ("KafkaBroker",)

SESSION_MS: Final = 6000
BATCH_BYTES: Final = 256 * 1024
PULL_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Login:
    mechanism: str
    username: str
    password: str


class KafkaBroker:
    """A Kafka cluster.

    Args:
        servers: Addresses of brokers, `host:port`, several with commas.
        client_id: The name that the cluster's logs and quotas know this client by.
        ssl: Encrypts the connections.
        username: For SASL; goes with `password`.
        password: For SASL.
        mechanism: Of SASL: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
        timeout: How long a request may take before the relay or consumer begins anew.
        topic_timeout: How long a topic that is being created is waited for before its messages are held.

    Example:
        >>> KafkaBroker("localhost:9092")
        KafkaBroker('localhost:9092')
    """

    def __init__(
        self,
        servers: str,
        *,
        client_id: str = "saga",
        ssl: ssl.SSLContext | None = None,
        username: str = "",
        password: str = "",
        mechanism: str = "SCRAM-SHA-512",
        timeout: timedelta = timedelta(seconds=15),
        topic_timeout: timedelta = timedelta(seconds=5),
    ) -> None:
        self._servers = servers
        self._client_id = client_id
        self._ssl = ssl
        self._login = _Login(mechanism=mechanism, username=username, password=password) if username else None
        self._timeout = timeout.total_seconds()
        self._topic_timeout = topic_timeout.total_seconds()

    def __repr__(self) -> str:
        return f"KafkaBroker({self._servers!r})"

    @asynccontextmanager
    async def publisher(self) -> AsyncGenerator[Publisher]:
        """Connect to send, with an idempotent producer.

        Raises:
            BrokerError: if that is not possible now.
        """
        options = self._connection() | {
            "enable_idempotence": True,
            "acks": "all",
            "max_batch_size": BATCH_BYTES,
            "max_request_size": 16 * BATCH_BYTES,
        }
        publisher = KafkaPublisher(
            lambda: client.new_producer(options), self._servers, self._timeout, self._topic_timeout
        )
        await publisher.open()
        try:
            yield publisher
        finally:
            await publisher.close()

    @asynccontextmanager
    async def subscribe(
        self, topics: Collection[str], group: str, assignments: Assignments, rebalance_timeout: timedelta
    ) -> AsyncGenerator[Subscription]:
        """Join a group, with offsets committed by hand.

        Raises:
            BrokerError: if that is not possible now, or a topic is missing.
        """
        options = self._connection() | {
            "group_id": group,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "isolation_level": "read_committed",
            "session_timeout_ms": SESSION_MS,
            "heartbeat_interval_ms": SESSION_MS // 4,
            "rebalance_timeout_ms": round(rebalance_timeout.total_seconds() * 1000),
            "max_partition_fetch_bytes": PULL_BYTES,
        }
        subscription = KafkaSubscription(options, topics, assignments, self._timeout)
        await subscription.open()
        try:
            yield subscription
        finally:
            await subscription.close()

    def _connection(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "bootstrap_servers": self._servers,
            "client_id": self._client_id,
            "request_timeout_ms": round(self._timeout * 1000),
            "ssl_context": self._ssl,
            "security_protocol": _PROTOCOLS[self._login is not None, self._ssl is not None],
        }
        if self._login is not None:
            options["sasl_mechanism"] = self._login.mechanism
            options["sasl_plain_username"] = self._login.username
            options["sasl_plain_password"] = self._login.password
        return options


_PROTOCOLS: Final = {
    (False, False): "PLAINTEXT",
    (False, True): "SSL",
    (True, False): "SASL_PLAINTEXT",
    (True, True): "SASL_SSL",
}
