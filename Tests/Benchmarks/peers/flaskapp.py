"""What a site engineer would write: Flask and SQLite, POST /api/v1/provision, one commit for each device.

usage: DB=flask.db gunicorn -w 2 --threads 8 -b 127.0.0.1:8080 flaskapp:app
"""

import json
import os
import secrets
import sqlite3
import threading
import uuid

from flask import Flask, jsonify, request

app = Flask(__name__)
local = threading.local()


def database() -> sqlite3.Connection:
    """The thread's own connection: write-ahead log, synced at each commit."""
    if not hasattr(local, "database"):
        local.database = sqlite3.connect(os.environ["DB"], timeout=30, isolation_level=None)
        local.database.execute("PRAGMA journal_mode=WAL")
        local.database.execute("PRAGMA synchronous=FULL")
        local.database.execute(
            "CREATE TABLE IF NOT EXISTS device(id TEXT PRIMARY KEY, name TEXT UNIQUE, token TEXT UNIQUE, doc TEXT)"
        )
    return local.database


@app.post("/api/v1/provision")
def provision():
    """One device, if its name is new."""
    body = request.get_json(force=True)
    if not secrets.compare_digest(body["provisionDeviceKey"], "provisionkey00000001"):
        return jsonify(status="FAILURE"), 400
    identity, token = str(uuid.uuid4()), secrets.token_urlsafe(15)
    device = {
        "id": identity,
        "name": body["deviceName"],
        "credentials": {"type": "ACCESS_TOKEN", "token": token},
        "pad": "x" * 270,
    }
    try:
        database().execute("INSERT INTO device VALUES(?,?,?,?)", (identity, device["name"], token, json.dumps(device)))
    except sqlite3.IntegrityError:
        return jsonify(status="FAILURE"), 400
    return jsonify(status="SUCCESS", credentialsType="ACCESS_TOKEN", credentialsValue=token)
