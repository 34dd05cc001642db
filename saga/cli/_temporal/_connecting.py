"""Connecting to a Temporal server as its own tools do, with errors that say what is wrong."""

from __future__ import annotations

import asyncio
import re
import shlex
from typing import TYPE_CHECKING, Final

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.service import RPCError, RPCStatusCode

from saga.cli._place import is_address
from saga.errors import ServerError

if TYPE_CHECKING:
    from saga.cli._place import Place

__all__ = ("connect",)

_PATIENCE: Final = 10.0
"""Seconds that connecting may take."""
_LOCAL: Final = "localhost:7233"
_ADDRESS = "name another with --address HOST:PORT, TEMPORAL_ADDRESS or --profile"
_CAUSES: Final = (  # what an error's text holds, and what it means
    ("dns error", f"there is no such host; {_ADDRESS}"),
    ("ConnectionRefused", f"nothing listens there; start one, such as `temporal server start-dev`, or {_ADDRESS}"),
    ("InvalidContentType", "it speaks no TLS; set TEMPORAL_TLS=false, or change tls in the profile"),
    ("certificate", "TLS was refused; see the certificates in the profile, or TEMPORAL_TLS_*"),
    ("Certificate", "TLS was refused; see the certificates in the profile, or TEMPORAL_TLS_*"),
    ("UnknownIssuer", "TLS was refused; see the certificates in the profile, or TEMPORAL_TLS_*"),
    ("received fatal alert", "TLS was refused; see the certificates in the profile, or TEMPORAL_TLS_*"),
    ("Unauthenticated", "it does not know who asks; see the API key in the profile, or TEMPORAL_API_KEY"),
    ("PermissionDenied", "it does not let this key in; see the API key in the profile, or TEMPORAL_API_KEY"),
)
_UNKNOWN = "no Temporal server answers there; does it need TLS (TEMPORAL_TLS=true), or is it another one?"


async def connect(place: Place) -> Client:
    """Return a client for the server that the profile, the environment and the options name.

    Raises:
        ServerError: if it cannot be reached, or has no such namespace.
    """
    config, address = _config(place)
    try:
        async with asyncio.timeout(_PATIENCE):
            client = await Client.connect(**config)
            await _check_namespace(client, address)
    except TimeoutError:
        raise ServerError(f"the server at {address} did not answer within {_PATIENCE:g} s; {_ADDRESS}") from None
    except RPCError as error:
        raise ServerError(f"the server at {address} answered {error.status.name}: {error.message}") from None
    except (RuntimeError, ValueError, OSError) as error:
        raise ServerError(f"the server at {address} cannot be used: {_meaning(error)}") from None
    return client


def _config(place: Place) -> tuple[ClientConnectConfig, str]:
    """Return how to connect, and to which address."""
    try:
        config = ClientConfig.load_client_connect_config(profile=place.profile or None)
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        text = _one_line(error)
        raise ServerError(f"Temporal's configuration cannot be used: {text}; mend the profile or its file") from None
    address = place.address or config.get("target_host", _LOCAL)
    if not is_address(address):
        raise ServerError(f"{address!r} is no address of a server; write HOST:PORT, such as {_LOCAL}")
    config["target_host"] = address
    if place.namespace:
        config["namespace"] = place.namespace
    return config, address


async def _check_namespace(client: Client, address: str) -> None:
    try:
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise ServerError(
                f"the server at {address} has no namespace {client.namespace!r}; name another with --namespace, "
                f"or create it: temporal operator namespace create --namespace {shlex.quote(client.namespace)}"
            ) from None
        if error.status is not RPCStatusCode.PERMISSION_DENIED:  # who may not ask this may ask for instances
            raise


def _meaning(error: Exception) -> str:
    text = str(error)
    meant = next((told for part, told in _CAUSES if part in text), None)
    if meant is None and "transport" in text.lower():
        meant = _UNKNOWN
    return f"{meant} ({_one_line(error)})" if meant else _one_line(error)


def _one_line(error: Exception) -> str:
    """Return the innermost words of an error, which the SDK wraps in the names of its own types."""
    text = " ".join(str(error).split())
    words = re.findall(r'(?:message|error): "([^"]+)"', text) or re.findall(r"(Invalid\w+\([\w(]+)", text)
    return (words[-1].replace("(", ": ") if words else text)[:300]
