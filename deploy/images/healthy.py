"""`python healthy.py URL`: exit status 0 when what is there is well, 1 and the reason when not.

http://… answers with a 2xx; grpc://… is a Dagster code server, asked without importing Dagster.
"""

import sys
import urllib.request
from urllib.parse import urlsplit


def main(url: str) -> None:
    """Raises OSError, or grpc.RpcError, when it is not well."""
    if urlsplit(url).scheme == "grpc":
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        stub = health_pb2_grpc.HealthStub(grpc.insecure_channel(urlsplit(url).netloc))
        answer = stub.Check(health_pb2.HealthCheckRequest(service="DagsterApi"), timeout=8)
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise OSError(f"status {answer.status}")
        return
    # No proxy: what is asked is in this container.
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=8)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception as problem:
        sys.exit(f"{sys.argv[1]}: {problem}")
