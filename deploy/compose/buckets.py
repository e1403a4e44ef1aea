"""`python buckets.py NAME…`: makes the S3 buckets that are missing."""

import sys

import boto3

s3 = boto3.client("s3")
known = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
for name in sys.argv[1:]:
    if name not in known:
        s3.create_bucket(Bucket=name)
    print(f"bucket {name}: {'was there' if name in known else 'made'}")
