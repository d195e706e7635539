"""`python -m saturation`."""

from saturation.cli import main

main()
