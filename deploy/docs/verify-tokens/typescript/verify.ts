// Verifies an access token with jose (npm install jose) and prints the id of its user. Node.js 22.18 and newer run it as it is.
//
// Usage: node verify.ts <PUBLIC_URL> [<TOKEN_AUDIENCE>], with the token on standard input

import { text } from "node:stream/consumers";
import { createRemoteJWKSet, jwtVerify } from "jose";

const [issuer, audience] = process.argv.slice(2);
if (!issuer) throw new Error("usage: node verify.ts <PUBLIC_URL> [<TOKEN_AUDIENCE>]");

// One set per process: it caches the keys, and loads them again when a token names an unknown one.
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));

/** Returns the id of the token's user. Rejects if the token is invalid. */
async function verify(token: string): Promise<string> {
  const { payload } = await jwtVerify(token, keys, {
    algorithms: ["ES256", "EdDSA"],
    issuer,
    audience,
    requiredClaims: ["exp", "iss", "sub"],
  });
  if (payload.token_type !== "access") throw new Error("not an access token");
  return payload.sub!;
}

try {
  console.log(await verify((await text(process.stdin)).trim()));
} catch (error) {
  console.error(`invalid token: ${error}`);
  process.exitCode = 1;
}
