"""The cache on local disk: extents of files by qid and version, within a bound. Knows nothing of servers."""
