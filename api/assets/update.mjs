// Updates the vendored assets to the versions below, and writes the sprite with the icons that the templates use.
// Run it in this folder: node update.mjs
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const versions = { "@tabler/core": "1.6.1", "@tabler/icons": "3.52.0", "htmx.org": "2.0.11" };
const icons = [
  "alert-circle", "alert-triangle", "arrow-down", "arrow-up", "ban", "circle-check", "clipboard-list", "clock",
  "download", "filter", "inbox", "key", "layout-dashboard", "lock", "lock-open", "login-2", "logout", "mail", "mail-x",
  "menu-2", "refresh", "search", "send", "shield-check", "trash", "user-check", "user-plus", "user-search", "users",
  "world", "x",
];

const folder = mkdtempSync(join(tmpdir(), "assets-"));
const unpack = (name) => {
  const run = (program, ...options) => execFileSync(program, options, { cwd: folder, encoding: "utf8" });
  const archive = run("npm", "pack", "--silent", `${name}@${versions[name]}`).trim();
  run("tar", "xzf", archive);
  return join(folder, "package");
};

const core = unpack("@tabler/core");
for (const file of ["tabler.min.css", "tabler.rtl.min.css"]) {
  // The source maps are not served.
  const css = readFileSync(join(core, "dist/css", file), "utf8").replace(/\/\*# sourceMappingURL=.*\*\/\s*$/, "");
  writeFileSync(file, css);
}
rmSync(core, { recursive: true });

const outline = join(unpack("@tabler/icons"), "icons/outline");
const symbols = icons.map((name) => {
  const [, shapes] = readFileSync(join(outline, `${name}.svg`), "utf8").match(/<svg[^>]*>(.*)<\/svg>/s);
  return `<symbol id="${name}" viewBox="0 0 24 24">${shapes.replace(/\s*\n\s*/g, "")}</symbol>`;
});
writeFileSync("icons.svg", `<svg xmlns="http://www.w3.org/2000/svg">\n${symbols.join("\n")}\n</svg>\n`);
rmSync(join(folder, "package"), { recursive: true });

copyFileSync(join(unpack("htmx.org"), "dist/htmx.min.js"), "htmx.min.js");
rmSync(folder, { recursive: true });
