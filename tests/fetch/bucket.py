"""Makes a bucket with one file, and a user who may read it; prints the user's keys."""

import json
import sys

import boto3

endpoint, path = sys.argv[1:]
anybody = dict(
    endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any"
)
store = boto3.client("s3", **anybody)
store.create_bucket(Bucket="jars")
with open(path, "rb") as file:
    store.put_object(Bucket="jars", Key="dir/app.tgz", Body=file.read())
users = boto3.client("iam", **anybody)
users.create_user(UserName="reader")
everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
users.put_user_policy(UserName="reader", PolicyName="reads", PolicyDocument=policy)
keys = users.create_access_key(UserName="reader")["AccessKey"]
print(keys["AccessKeyId"], keys["SecretAccessKey"])
