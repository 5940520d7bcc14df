"""File trees whose content is made by functions. Imports ``ninep.server`` and ``ninep.protocol``."""
