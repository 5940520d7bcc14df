"""Benchmarks: our programs and their peers on the same work in one run."""
