"""Console commands about listening and services, and about connected clients."""

from __future__ import annotations

from dataclasses import replace

from fossil.commands.registry import SERVER, Speaker, server_command
from fossil.console.words import Given, number, quoted
from fossil.errors import ConsoleRefused
from fossil.server.connections import Way


@server_command("srv [-AINPWdp] [service]", flags="AINPWdp", most=1, vital=True)
async def srv(speaker: Speaker, given: Given) -> str:
    """Serves 9P, or with -p a console, on a Unix socket of that name; with -d not any more. Alone: lists them.

    -P looks at no permissions, -W lets everybody change owners and groups. -A, -N and -I, which are about proof of
    who somebody is, change nothing here.
    """
    server, options = speaker.server, given.options
    if "p" in options and "P" in options:
        raise ConsoleRefused("srv: cannot use -P with -p")
    if not given.words:
        if options:
            raise SERVER["srv"].usage.refusal()
        return "".join(f"\t{name}\t{door.places[0]}\n" for name, door in server.services.items())
    (name,) = given.words
    if "d" in options:
        server.close(server.services, name, "srv")
    elif "p" in options:
        await server.post_console(name)
    else:
        await server.post(Way(name, permissions="P" not in options, wstat_anything="W" in options))
    return ""


@server_command("listen [-dIN] [address]", flags="dIN", most=1, vital=True)
async def listen(speaker: Speaker, given: Given) -> str:
    """Serves 9P on a network address; with -d not any more. Alone: lists them.

    -N and -I, which are about proof of who somebody is, change nothing here.
    """
    server = speaker.server
    if not given.words:
        return "".join(f"\t{name}\t{' '.join(door.places)}\n" for name, door in server.listening.items())
    (address,) = given.words
    if "d" in given.options:
        server.close(server.listening, address, "listen")
    else:
        await server.listen(address)
    return ""


@server_command("con [-m ncon]", valued="m")
async def con(speaker: Speaker, given: Given) -> str:
    """Prints how many clients are served at once, and which; -m sets the most."""
    clients = speaker.server.clients
    if "m" in given.options:
        most = number(given.options["m"], SERVER["con"].usage)
        if not most:
            raise SERVER["con"].usage.refusal()
        clients.most = most
    names = [client.way.name for client in clients]
    lines = [f"con -m {clients.most}", f"ncon {len(names)} nconstarve {clients.starved}", *names]
    return "".join(f"\t{line}\n" for line in lines)


@server_command("msg [-m nmsg] [-p nproc]", valued="mp")
async def msg(speaker: Speaker, given: Given) -> str:
    """Prints how many requests of one client run at once; -m sets that for clients to come. One process serves all: -p
    is taken and means nothing.
    """
    clients, usage = speaker.server.clients, SERVER["msg"].usage
    if "p" in given.options and not number(given.options["p"], usage):
        raise usage.refusal()
    if "m" in given.options:
        most = number(given.options["m"], usage)
        if not most:
            raise usage.refusal()
        clients.limits = replace(clients.limits, requests=most)
    return f"\tmsg -m {clients.limits.requests} -p 1\n"


@server_command("who")
async def who(speaker: Speaker, given: Given) -> str:
    """Prints the clients, where each came from, and the users that have attached there."""
    clients = list(speaker.server.clients)
    wide = max((len(client.way.name) for client in clients), default=0)
    far = max((len(client.remote) for client in clients), default=0)
    lines = []
    for client in clients:
        users = " ".join(map(quoted, sorted(client.users)))
        lines.append(f"\t{client.way.name.ljust(wide)} {client.remote.ljust(far)} {users}\n")
    return "".join(lines)
