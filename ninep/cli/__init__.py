"""The edge of every program: command lines, standard streams, signals, exit codes, and where the user is.

Imports trio, ``ninep.net``, ``ninep.wire`` and the ground floor. Programs import it, libraries never do. Each module is
imported by its own name, so that a program loads only what it needs:

* ``program``: the frame around a command; ``codes``: exit codes; ``errors``: mistakes of a person, streams that refuse
* ``streams``: standard input, output and error that are whole or fail
* ``interrupts``: signals of commands; ``loading``: the same before and after they run; ``serving``: signals of servers
* ``commands``: a program made of commands; ``flags``: flags that they share; ``networks``: what those of the network
  mean; ``homes``: directories of the user; ``sizes``: sizes such as 10G
"""
