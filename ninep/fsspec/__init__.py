"""A 9P server for fsspec, so that pandas, pyarrow and others read from it: ``ninep://host:port/path``.

Imports ``ninep.blocking``, ``ninep.client`` and ``ninep.copy``.
"""
