// Tests the generated TypeScript client against a running API: registration with a picture, login and profile changes.
//
// Usage: node check.js <API URL> <command to activate an email …>

import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { AccountApi, Configuration, Gender, ResponseError, SessionApi } from "./typescript-fetch";

const [apiUrl, program, ...programArguments] = process.argv.slice(2) as [string, string, ...string[]];

// A PNG of one pixel.
const picture =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

let passed = 0;

function check(description: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) {
    console.error(`${description}: expected ${expected}, got ${actual}`);
    console.log(`test result: FAILED. ${passed} passed; 1 failed`);
    process.exit(1);
  }
  console.log(`ok: ${description}`);
  passed += 1;
}

// Returns the status of a refused call.
async function refusal(call: Promise<unknown>): Promise<number> {
  try {
    await call;
    return 200;
  } catch (error) {
    if (error instanceof ResponseError) return error.response.status;
    throw error;
  }
}

async function run(): Promise<void> {
  const email = `ada-${randomUUID()}@example.com`;
  const password = `Analytical ${randomUUID()}`;
  const anonymous = new Configuration({ basePath: apiUrl });
  const accounts = new AccountApi(anonymous);
  const sessions = new SessionApi(anonymous);

  const registration = {
    email,
    username: "Ada Lovelace",
    password,
    phoneNumber: "+201001234567",
    image: picture,
    dateBirth: new Date(1990, 1, 28),
    gender: Gender.Female,
  };
  const registered = await accounts.registerRaw({ registration });
  check("register returns 201", registered.raw.status, 201);
  const account = await registered.value();
  check("register returns the gender", account.gender, Gender.Female);
  const image = await fetch(account.image ?? "");
  check("register stores the picture", image.headers.get("content-type"), "image/png");
  check("register with a taken email returns 409", await refusal(accounts.register({ registration })), 409);
  const credentials = { email, password };
  check("login before activation returns 403", await refusal(sessions.login({ credentials })), 403);

  execFileSync(program, [...programArguments, email], { stdio: "ignore" });
  const login = await sessions.login({ credentials });
  check("login returns the success message", login.detail, "Logged in Successfully");

  const user = new AccountApi(new Configuration({ basePath: apiUrl, accessToken: login.token.access }));
  const profile = await user.getUser();
  check("getUser returns the date of birth in local time", profile.dateBirth?.getTime(), new Date(1990, 1, 28).getTime());
  // What getUser returns can be sent back.
  for (const dateBirth of [profile.dateBirth, new Date(1990, 1, 28)]) {
    const changed = await user.changeUserRaw({ profileChange: { dateBirth } });
    const { dateBirth: sent } = (await changed.raw.json()) as { dateBirth: string };
    check("changeUser keeps the date of birth", sent, "1990-02-28");
  }
  const cleared = await user.changeUser({ profileChange: { phoneNumber: null } });
  check("changeUser with null clears the phone number", cleared.phoneNumber, null);
  check("changeUser without a picture keeps it", cleared.image, account.image);
  const stranger = new AccountApi(new Configuration({ basePath: apiUrl, accessToken: "not.a.token" }));
  check("getUser with an invalid token returns 401", await refusal(stranger.getUser()), 401);
}

run().then(
  () => console.log(`test result: ok. ${passed} passed; 0 failed (generated TypeScript client)`),
  (error) => {
    console.error(error);
    console.log(`test result: FAILED. ${passed} passed; 1 failed`);
    process.exit(1);
  },
);
