"""Result files of the LM Evaluation Harness: what they hold, and which checkpoint they are of. No files, no network."""
