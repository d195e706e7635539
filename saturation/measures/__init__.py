"""Pure functions: tensors in, numbers out. No files, network, SQL, pandas or drawing."""
