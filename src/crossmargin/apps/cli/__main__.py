"""`python -m crossmargin.apps.cli`."""

from crossmargin.apps.cli import main

main()
