"""A live file server over 9P whose snapshots cost nothing and whose archives go to venti."""
