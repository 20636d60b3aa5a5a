"""Drives a Shardline proxy with mysql-connector-python (its pure Python side, too)."""

import os

import mysql.connector

import steps

CA = os.environ.get("SL_CA")

options = {"ssl_ca": CA, "ssl_verify_identity": True} if CA else {"ssl_disabled": True}
connection = mysql.connector.connect(
    **steps.address(), **options, use_pure=os.environ.get("SL_PURE", "1") == "1"
)
steps.run(connection, prepared=connection.cursor(prepared=True))
