/** Assemble the kernel, and bundle everything into `dist`. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import wabt from "wabt";

const here = (path) => new URL(path, import.meta.url);
mkdirSync(here("dist"), { recursive: true });

const { parseWat } = await wabt();
const text = parseWat("kernel.wat", readFileSync(here("src/kernel.wat"), "utf8"), { simd: true });
writeFileSync(here("src/kernel.wasm"), text.toBinary({}).buffer);

const common = {
  absWorkingDir: here(".").pathname,
  bundle: true,
  minify: true,
  loader: { ".wasm": "binary" },
  target: "es2022",
  legalComments: "none",
};
// What the tests look into, the program of the worker, and that of the page.
await build({ ...common, entryPoints: ["src/index.js"], outfile: "dist/index.mjs", format: "esm" });
// The worker comes twice: with the processor alone, and with WebGPU, in a build for browsers that can suspend WebAssembly.
const worker = {
  ...common,
  entryPoints: ["src/worker.js"],
  format: "iife",
  define: { "import.meta.url": '"https://localhost/"', WITH_GPU: "false" },
};
await build({ ...worker, outfile: "dist/worker.js" });
await build({
  ...worker,
  outfile: "dist/worker.gpu.js",
  alias: { "onnxruntime-web/wasm": "onnxruntime-web/jspi" },
  define: { ...worker.define, WITH_GPU: "true" },
});
await build({ ...common, entryPoints: ["src/page.js"], outfile: "dist/page.js", format: "iife" });

// The package of ONNX Runtime does not come with its licence.
const licences = [
  ["onnxruntime-web", "onnxruntime.LICENSE"],
  ["pako", "node_modules/pako/LICENSE"],
].map(([name, path]) => {
  const { version } = JSON.parse(readFileSync(here(`node_modules/${name}/package.json`), "utf8"));
  return `${name} ${version}\n\n${readFileSync(here(path), "utf8")}`;
});
writeFileSync(here("dist/LICENSES.txt"), licences.join("\n\n"));

for (const [name, source] of [
  ["ort", "ort-wasm-simd-threaded"],
  ["ort.gpu", "ort-wasm-simd-threaded.jspi"],
]) {
  const code = readFileSync(here(`node_modules/onnxruntime-web/dist/${source}.wasm`));
  writeFileSync(here(`dist/${name}.wasm.gz`), gzipSync(code, { level: 9 }));
}
