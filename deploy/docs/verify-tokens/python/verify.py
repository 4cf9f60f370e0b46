"""Verifies an access token with PyJWT (pip install "pyjwt[crypto]") and prints the id of its user.

Usage: verify.py <PUBLIC_URL> [<TOKEN_AUDIENCE>], with the token on standard input
"""

import sys

import jwt

issuer = sys.argv[1]
audience = sys.argv[2] if len(sys.argv) > 2 else None

# One client per process: it caches the keys, and loads them again when a token names an unknown one.
keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json", cache_jwk_set=True, lifespan=300)


def verify(token: str) -> str:
    """Returns the id of the token's user. Raises jwt.PyJWTError if the token is invalid."""
    claims = jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=["ES256", "EdDSA"],
        issuer=issuer,
        audience=audience,
        options={"require": ["exp", "iss", "sub", "token_type"]},
    )
    if claims["token_type"] != "access":
        raise jwt.InvalidTokenError("not an access token")
    return claims["sub"]


try:
    print(verify(sys.stdin.read().strip()))
except jwt.PyJWTError as error:
    sys.exit(f"invalid token: {error}")
