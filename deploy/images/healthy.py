"""`python healthy.py URL`: exit status 0 when it answers with a 2xx, 1 and the reason when not."""

import sys
import urllib.request

try:
    # No proxy: what is asked is in this container.
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=8)
except OSError as problem:
    sys.exit(f"{sys.argv[1]}: {problem}")
