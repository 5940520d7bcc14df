"""Console commands about users and groups."""

from __future__ import annotations

from fossil.commands.registry import ANY, SERVER, Speaker, server_command
from fossil.console.words import Given
from fossil.errors import ConsoleRefused
from fossil.files.attach import NAME
from fossil.live import userfile
from fossil.live.filesystem import FileSystem
from fossil.live.users import STANDARD, Users
from ninep.protocol.stat import DMDIR


@server_command("uname [-d] uname [uid|:uid|%newname|=leader|+member|-member]", flags="d", most=ANY)
async def uname(speaker: Speaker, given: Given) -> str:
    """Prints a user; makes one, with a home directory (uid) or without (:uid); renames one; sets or, with = alone,
    clears the leader; adds and removes members. Several of these may follow one name: all are done or none. -d prints
    the whole table afterwards.
    """
    server = speaker.server
    users = server.users
    dump = "d" in given.options
    if not given.words:
        if not dump:
            raise SERVER["uname"].usage.refusal()
        return _dumped(users)
    name, *verbs = given.words
    if not verbs:
        return f"\t{users.named(name).line()}\n" + (_dumped(users) if dump else "")
    homes: list[str] = []
    for verb in verbs:
        sign, word = verb[:1], verb[1:]
        if sign == "%":
            users, name = users.renamed(name, word), word
        elif sign == "=":
            users = users.led(name, word)
        elif sign == "+":
            users = users.joined(name, word)
        elif sign == "-":
            users = users.left(name, word)
        else:
            users = users.added(name, word if sign == ":" else verb)
            if sign != ":":
                homes.append(name)
    system = _writable(speaker)
    if homes:
        folder = userfile.find(system, ["usr"])
        if folder is None or not folder.mode & DMDIR:
            raise ConsoleRefused("uname: /active/usr does not exist: make it, or give ':id' for a user without a home")
        for home in homes:
            if system.child(folder, home) is not None:
                raise ConsoleRefused(f"uname: create /active/usr/{home}: file already exists")
        for home in homes:
            system.create(folder, home, DMDIR | 0o775, users.uid(home), users.uid(home))
    userfile.write_users(system, users)
    server.use(users)
    return _dumped(users) if dump else ""


@server_command("users [-d | -r file] [-w]", flags="dw", valued="r")
async def users(speaker: Speaker, given: Given) -> str:
    """Prints how large the table of users is; -d takes the standard one, -r one from a file of ``main``, -w writes it
    to /active/adm/users.
    """
    server, options = speaker.server, given.options
    if "d" in options and "r" in options:
        raise ConsoleRefused("cannot use -d and -r together")
    if "d" in options:
        server.use(Users.parse("\n".join(STANDARD)))
    elif "r" in options:
        names = [name for name in options["r"].split("/") if name]
        if names[:1] != ["active"]:
            raise ConsoleRefused(f"users: {options['r']} is not in the live tree, as /active/adm/users is")
        server.use(Users.parse(await userfile.read_users(server.fsys(NAME).open.system, names[1:])))
    if "w" in options:
        userfile.write_users(_writable(speaker), server.users)
    table = server.users
    return f"\tnuser {len(table)} len {len(table.text().encode())}\n"


def _writable(speaker: Speaker) -> FileSystem:
    """The live tree that has the table."""
    fsys = speaker.server.fsys(NAME)
    if fsys.rules.read_only:
        raise ConsoleRefused("read only file system")
    if fsys.open.system.halted:
        raise ConsoleRefused(f"file system {fsys.name} is halted")
    fsys.open.system.check()
    return fsys.open.system


def _dumped(users: Users) -> str:
    text = users.text()
    return f"nuser {len(users)} len = {len(text.encode())}\n{text}"
