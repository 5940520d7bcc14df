"""The edge of every program: command lines, standard streams, signals, exit codes, and who and where the user is.

Ground floor: it imports trio, ``ninep.disk`` and the standard library; every room may import it.
Each module is imported by its own name, so that a program loads only what it needs:

``codes`` exit codes; ``errors`` what a person did wrong or a stream refused; ``homes`` directories of the user;
``identity`` who runs this; ``interrupts`` signals of commands, ``loading`` before and after they run; ``program`` the
frame around a command; ``serving`` signals of servers; ``sizes`` sizes such as 10G; ``streams`` standard input, output
and error that are whole or fail.
"""
