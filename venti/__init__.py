"""A content-addressed, write-once block archive that speaks the venti protocol."""
