"""What the flags and the settings of the network mean, once a command runs; ``flags`` has the flags themselves."""

from __future__ import annotations

import argparse
import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from ninep.cli.errors import BadUsage
from ninep.cli.homes import config_home
from ninep.net import tls
from ninep.net.errors import BadAddress
from ninep.net.listen import Listener, check_listen, listen
from ninep.net.networks import Networks


def client_context(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """What the flags of a client say about TLS; None where they say nothing."""
    if not arguments.tls_ca and not arguments.tls_cert:
        return None
    return tls.client_context(arguments.tls_ca, arguments.tls_cert)


async def listening(
    arguments: argparse.Namespace, address: str, *, service: str, environment: Mapping[str, str] = os.environ
) -> list[Listener]:
    """Listens as the flags of a server say. Raises what ``listen`` does."""
    return await listen(
        address,
        service=service,
        networks=networks_of(arguments),
        no_auth=arguments.no_auth,
        context=_server_context(arguments),
        environment=environment,
    )


def _server_context(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    if arguments.tls_clients and not arguments.tls_cert:
        raise BadAddress("--tls-clients needs --tls-cert: a server that asks for proof has to give its own")
    return tls.server_context(arguments.tls_cert, arguments.tls_clients) if arguments.tls_cert else None


async def can_listen(arguments: argparse.Namespace, address: str, *, service: str) -> None:
    """Finds out whether ``listening`` would do, without keeping anybody waiting: raises what that does.

    A server asks this before it opens its data, and listens when it can answer: a client that comes in between is
    refused, and neither waits for nothing nor is reset.
    """
    await check_listen(
        address,
        service=service,
        networks=networks_of(arguments),
        no_auth=arguments.no_auth,
        context=_server_context(arguments),
    )


def networks_of(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Networks:
    """The table of networks: ``--net`` before ``NINEGRID_NET`` before ``networks.toml`` of the user's settings.

    Raises:
        BadAddress: one of them cannot be understood; the text says which.
    """
    try:
        settings = _from_file(config_home(environment) / "networks.toml")
    except BadUsage:
        # Whoever has no home has no settings there.
        settings = []
    settings += [word for word in environment.get("NINEGRID_NET", "").split(",") if word.strip()]
    return Networks.parse([*settings, *arguments.net])


def _from_file(path: Path) -> list[str]:
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BadAddress(
            f"your settings in {path} cannot be read: {error.strerror}: see to their rights, or set HOME to your own"
        ) from error
    # Hardly anybody has such a file, and the module takes longer to load than a command has to do.
    import tomllib

    try:
        table = tomllib.loads(text.decode())
    except ValueError as error:
        raise BadAddress(f"{path}: {error}") from error
    if not all(isinstance(value, str) for value in table.values()):
        raise BadAddress(f'{path}: write lines like "/net.alt" = "eth1"')
    return [f"{name}={value}" for name, value in table.items()]
