"""histoweave: honest, cross-validated subtype classification from whole-slide images and bulk RNA."""

import os

# Before h5py is imported: HDF5 locks every file that it opens, and fails where a file system has no locks (NFS, Lustre).
# Nothing here needs them: files are written beside their place and renamed when they are whole.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")

__version__ = "0.1.0"
