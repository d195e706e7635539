"""Each line beside its plain alternative in the same run; `make bench` prints the table."""
