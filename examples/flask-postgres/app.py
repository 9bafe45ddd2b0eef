"""Notes in PostgreSQL: POST a text, GET all of them."""

from __future__ import annotations

import psycopg2
from flask import Flask, request

app = Flask(__name__)


def connect() -> psycopg2.extensions.connection:
    return psycopg2.connect(host="/tmp", dbname="postgres", user="www-data")


@app.get("/")
def notes() -> str:
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT text FROM notes ORDER BY id")
        return "".join(f"{text}\n" for (text,) in cursor)


@app.post("/")
def note() -> tuple[str, int]:
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO notes (text) VALUES (%s)", [request.get_data(as_text=True)])
    return "noted\n", 201
