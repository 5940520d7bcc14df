"""A local directory as a served tree, safe beneath its root."""

from ninep.export.accounts import Accounts, Identity
from ninep.export.tree import ExportTree

__all__ = ["Accounts", "ExportTree", "Identity"]
