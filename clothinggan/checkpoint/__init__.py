"""What a run leaves on disk, and how it comes back: the record, the `.h5` file, the folder of a run."""
