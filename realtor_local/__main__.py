"""`python -m realtor_local` is `realtor`, where nothing is installed but copied: in images."""

from realtor_local.cli import main

main()
