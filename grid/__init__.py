"""The grid as a whole: one command for all programs. Imports all packages; none imports it."""
