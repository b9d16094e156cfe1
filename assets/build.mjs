// Makes one stylesheet of the components of the NL Design System that the pages use, with the tokens these need, and puts
// their licences beside it. Run by `make assets`, in this folder, after `npm ci`.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PurgeCSS } from "purgecss";

const target = "../src/ldv_otel/_internal/api/pages/static";
const { dependencies } = JSON.parse(readFileSync("package.json", "utf8"));

const stylesheets = (folder) =>
  readdirSync(folder).filter((name) => /^(index|variables|[a-z-]+)\.css$/.test(name) && !/^(test|custom|font|theme)\.css$/.test(name));

let css = "";
const licences = new Map();
for (const name of Object.keys(dependencies).sort()) {
  const folder = join("node_modules", name);
  const dist = join(folder, "dist");
  for (const file of stylesheets(dist)) {
    css += readFileSync(join(dist, file), "utf8").replace(/\/\*# sourceMappingURL=.*?\*\//g, "") + "\n";
  }
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const text = readFileSync(join(folder, "LICENSE.md"), "utf8");
  licences.set(text, [...(licences.get(text) ?? []), `${name} ${version} (${license})`]);
}

const [{ css: used }] = await new PurgeCSS().purge({
  content: ["../src/ldv_otel/_internal/api/pages/templates/**/*.html"],
  css: [{ raw: css }],
  variables: true,
  // The layout uses it; see inzage.css.
  safelist: { variables: ["--basis-text-font-family-default"] },
});
const small = used.replace(/\/\*[^*!][\s\S]*?\*\//g, "").replace(/\n\s*\n+/g, "\n").replace(/^ {2}/gm, "");
writeFileSync(join(target, "nlds.css"), `/* NL Design System; licences in nlds-licences.txt. */\n${small}`);
const parts = [...licences].map(([text, names]) => `${names.join("\n")}\n\n${text}`);
writeFileSync(join(target, "nlds-licences.txt"), parts.join("\n\n----\n\n"));
console.log(`nlds.css: ${small.length} bytes`);
