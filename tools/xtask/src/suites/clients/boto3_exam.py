"""What the boto3 exam lets the library do: upload, download, locks."""
import os
import sys

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

bucket, verb, argument = sys.argv[1:4]
s3 = boto3.client("s3")
parts = TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=6 << 20)


def remote():
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
    return {entry["Key"] for page in pages for entry in page.get("Contents", [])}


def upload(root):
    try:
        s3.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
            raise
    kept = set()
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            key = os.path.relpath(path, root)
            s3.upload_file(path, bucket, key, Config=parts)
            kept.add(key)
    gone = [{"Key": key} for key in remote() - kept]
    if gone:
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": gone})
        assert len(answer["Deleted"]) == len(gone), answer


def download(root):
    for key in remote():
        path = os.path.join(root, key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        s3.download_file(bucket, key, path, Config=parts)


def locks(key):
    head = s3.head_object(Bucket=bucket, Key=key)
    try:
        s3.delete_object(Bucket=bucket, Key=key, VersionId=head["VersionId"])
        said = "deleted"
    except ClientError as error:
        said = error.response["Error"]["Code"]
    print(head["ObjectLockMode"], said)


{"upload": upload, "download": download, "locks": locks}[verb](argument)
