"""`python healthy.py URL` exits with 0 if the program at URL is healthy, else 1 and the reason.

http://… is healthy if it answers with a 2xx status. grpc://… is a Dagster code server; the check
does not import Dagster.
"""

import sys
import urllib.request
from urllib.parse import urlsplit


def main(url: str) -> None:
    """Raises OSError or grpc.RpcError when the program is not healthy."""
    if urlsplit(url).scheme == "grpc":
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        stub = health_pb2_grpc.HealthStub(grpc.insecure_channel(urlsplit(url).netloc))
        answer = stub.Check(health_pb2.HealthCheckRequest(service="DagsterApi"), timeout=8)
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise OSError(f"status {answer.status}")
        return
    # No proxy, because the program is in this container.
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=8)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception as problem:
        sys.exit(f"{sys.argv[1]}: {problem}")
