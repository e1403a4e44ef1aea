#!/bin/sh
# Starts SeaweedFS with one identity per program, each for its own bucket. The keys are in a file, so
# that `ps` does not show them.
set -eu
umask 077
identity() { # name, access key, secret key, actions
    printf '{"name": "%s", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], "actions": [%s]}' "$@"
}
{
    printf '{"identities": ['
    identity pipeline "$S3_PIPELINE_ACCESS_KEY" "$S3_PIPELINE_SECRET_KEY" '"Admin"'
    printf ', '
    identity mlflow "$S3_MLFLOW_ACCESS_KEY" "$S3_MLFLOW_SECRET_KEY" \
        "\"Read:$MLFLOW_BUCKET\", \"Write:$MLFLOW_BUCKET\", \"List:$MLFLOW_BUCKET\", \"Tagging:$MLFLOW_BUCKET\""
    printf ', '
    identity service "$S3_SERVICE_ACCESS_KEY" "$S3_SERVICE_SECRET_KEY" \
        "\"Read:$STORE_BUCKET\", \"List:$STORE_BUCKET\""
    printf ']}'
} > /tmp/s3.json
# -ip: its parts talk to one another over loopback, and no other program needs them.
exec weed server -dir=/data -ip=127.0.0.1 -ip.bind=0.0.0.0 -volume.max=0 -master.volumeSizeLimitMB=1024 \
    -s3 -s3.port=8333 -s3.config=/tmp/s3.json
