"""Drives a Shardline proxy with PyMySQL."""

import os
import ssl

import pymysql

import steps

CA = os.environ.get("SL_CA")

context = ssl.create_default_context(cafile=CA) if CA else None
steps.run(pymysql.connect(**steps.address(), ssl=context))
