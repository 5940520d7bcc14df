"""What a block is: scores, types, sizes, errors and compression.

Pure; imports nothing else of the project but error roots.
"""
