"""What users have been told about trees that cannot change. Imports ``cfs.disk`` for the layout of the directory."""
