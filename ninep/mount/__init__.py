"""A 9P server's tree as a file system of Linux, through FUSE and without the kernel's own 9P."""
