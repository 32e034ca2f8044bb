// SPDX-License-Identifier: Apache-2.0
// build.mjs OUTDIR NPMDIR: one bundle per view and player engine, named by content; index.html
// names the first ones. Works with node 18 and later.
import { createRequire } from 'node:module';
import { copyFile, cp, mkdir, readFile, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const [out, npm] = process.argv.slice(2);
const esbuild = createRequire(path.join(npm, 'package.json'))('esbuild');
const packages = path.join(npm, 'node_modules');
const fresh = `${out}.new`;

// Bundled beside its packages: the hashes in names cover paths too, so they must not depend on where
// the build folder is, and two hosts that build the same page name it the same.
const source = path.join(npm, 'src');
await rm(source, { recursive: true, force: true });
await cp(path.join(path.dirname(fileURLToPath(import.meta.url)), 'src'), source, { recursive: true });

const hashed = (name, bytes) => {
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 12);
  const { name: stem, ext } = path.parse(name);
  return `${stem}-${hash}${ext}`;
};

await rm(fresh, { recursive: true, force: true });
await mkdir(path.join(fresh, 'assets'), { recursive: true });

// hls.js's worker is a file of ours, so the page's policy needs no worker from a blob.
const worker = await readFile(path.join(packages, 'hls.js/dist/hls.worker.js'));
const workerName = hashed('hls.worker.js', worker);
await writeFile(path.join(fresh, 'assets', workerName), worker);

const result = await esbuild.build({
  absWorkingDir: source,
  entryPoints: { app: 'main.js' },
  outdir: path.join(fresh, 'assets'),
  entryNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]',
  assetNames: '[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  minify: true,
  target: ['es2021'],
  define: { HLS_WORKER: JSON.stringify(`/assets/${workerName}`) },
  legalComments: 'linked',
  metafile: true,
  logLevel: 'warning',
});

const entry = Object.entries(result.metafile.outputs).find(([, o]) => o.entryPoint === 'main.js');
const url = (file) => `/assets/${path.basename(file)}`;

const icon = await readFile(path.join(source, 'icon.svg'));
const iconName = hashed('icon.svg', icon);
await writeFile(path.join(fresh, 'assets', iconName), icon);
const html = (await readFile(path.join(source, 'index.html'), 'utf8'))
  .replace('%STYLE%', url(entry[1].cssBundle))
  .replace('%SCRIPT%', url(entry[0]))
  .replace('%ICON%', `/assets/${iconName}`);
await writeFile(path.join(fresh, 'index.html'), html);
await copyFile(path.join(source, 'robots.txt'), path.join(fresh, 'robots.txt'));

// The licences of what is in the bundles, as they ask.
const inside = Object.keys(result.metafile.inputs)
  .map((input) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1]);
const notices = [];
for (const name of [...new Set(inside.filter(Boolean))].sort()) {
  const folder = path.join(packages, name);
  const about = JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8'));
  const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file ? await readFile(path.join(folder, file), 'utf8') : `Licence: ${about.license}`;
  notices.push(`${name} ${about.version}\n\n${text.trim()}\n`);
}
await writeFile(path.join(fresh, 'licenses.txt'), notices.join(`\n${'-'.repeat(80)}\n\n`));

// In place at the end, so that a broken build leaves the page before it.
for (const name of await readdir(out)) await rm(path.join(out, name), { recursive: true });
for (const name of await readdir(fresh)) await rename(path.join(fresh, name), path.join(out, name));
await rm(fresh, { recursive: true });
const now = new Date();
await utimes(out, now, now); // the folder is what meson compares with the sources
