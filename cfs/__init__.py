"""A caching 9P server for slow links."""
