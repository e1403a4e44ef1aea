"""A stand-in for the upstream listings API: its protocol to the letter, with data of your own.

    python -m realtor_local.upstream --port 8000 --rows 400000
    python -m realtor_local.upstream --port 8000 --csv realtor-data.csv
    python -m realtor_local.upstream --port 8000 --csv sales.csv --market market.toml

GET /health · GET /data?group_number=N[&day=Tuesday|Wednesday] · GET /restart_data_generation?…
GET /listings, which the real one does not have: what is served, and what is left out

A file is served whole: all its rows, in one batch or a few. The synthetic market is served as the
real API serves its data: complete rows only, cut into six batches (for a file: --batches six).
Like the real one it keeps a cursor per group (and per day, where a day is given), and moves it at
the call, before the first byte leaves: an answer that is lost on the way is lost until the group is
restarted. An answer of 4xx or 5xx moves nothing.
"""
