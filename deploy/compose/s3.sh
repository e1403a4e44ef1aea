#!/bin/sh
# SeaweedFS with one identity per program, each for its own bucket; passwords are not for `ps` to see.
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
# The address that its parts know one another by is the loopback's: nobody else talks to them.
exec weed server -dir=/data -ip=127.0.0.1 -ip.bind=0.0.0.0 -volume.max=0 -master.volumeSizeLimitMB=1024 \
    -s3 -s3.port=8333 -s3.config=/tmp/s3.json
