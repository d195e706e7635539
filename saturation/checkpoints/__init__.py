"""Where weights come from: local folders and the bundled lab. Yields tensors and models; knows no store."""
