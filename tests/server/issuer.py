"""An OpenID Connect issuer on loopback, as a process of its own: discovery, JWKS, tokens on demand, key rotation.

`python -m tests.server.issuer` prints its address. GET /token?<claims as JSON> signs; POST /rotate makes a new key (the old one is
published no more); GET /asked says how often the keys were fetched.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey


class Issuer:
    def __init__(self) -> None:
        self.address = ""
        self.asked = 0
        self.keys: list[Any] = []
        self.retired: list[Any] = []
        self.rotate()

    def rotate(self) -> None:
        self.retired = self.keys
        number = len(self.retired) and int(self.retired[0].kid.rpartition("-")[2]) + 1
        self.keys = [RSAKey.generate_key(2048, parameters={"kid": f"rsa-{number}", "use": "sig"}),
                     ECKey.generate_key("P-256", parameters={"kid": f"ec-{number}", "use": "sig"})]

    def token(self, wanted: dict[str, Any]) -> str:
        now = int(time.time())
        claims = {"iss": self.address, "aud": "holdfast", "sub": "a", "exp": now + 300, "iat": now, "email": "a@x.example",
                  "email_verified": True, **wanted.get("claims", {})}
        claims = {name: value for name, value in claims.items() if value is not None}
        key = (self.retired if wanted.get("retired") else self.keys)[1 if wanted.get("alg") == "ES256" else 0]
        header = {"alg": wanted.get("alg", "RS256"), "kid": key.kid, **wanted.get("header", {})}
        return jwt.encode(header, claims, key, algorithms=[header["alg"]])


class Handler(BaseHTTPRequestHandler):
    issuer: Issuer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/.well-known/openid-configuration":
            self.answer({"issuer": self.issuer.address, "jwks_uri": self.issuer.address + "/keys"})
        elif parts.path == "/keys":
            self.issuer.asked += 1
            self.answer(KeySet(self.issuer.keys).as_dict(private=False))
        elif parts.path == "/token":
            self.answer({"token": self.issuer.token(json.loads(parse_qs(parts.query)["wanted"][0]))})
        else:
            self.answer({"asked": self.issuer.asked})

    def do_POST(self) -> None:
        self.issuer.rotate()
        self.answer({})

    def answer(self, body: Any) -> None:
        payload = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        return None


def main() -> None:
    Handler.issuer = Issuer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.issuer.address = f"http://127.0.0.1:{server.server_port}"
    print(Handler.issuer.address)
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
