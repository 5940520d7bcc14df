"""File trees as blocks: the vac format, its reader and its writer. Source: vac(1), vac(7)."""
